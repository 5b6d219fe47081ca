"""The way back: a module a tool, each with `find` and `read`."""
