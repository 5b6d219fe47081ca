"""What each command does, as a function: `sa1b verify` is `sa1b.verify`, with the same options."""
