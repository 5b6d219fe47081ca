"""Readers of other formats: one module a tool, each with `find` and `read`."""
