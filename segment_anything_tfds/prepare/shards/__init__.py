"""From an archive to its shards: what a worker does."""
