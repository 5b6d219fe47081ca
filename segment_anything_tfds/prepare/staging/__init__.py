"""Where finished shards wait for the rest, and who may write there."""
