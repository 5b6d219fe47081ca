"""The `sa1b` command: one file a subcommand."""
