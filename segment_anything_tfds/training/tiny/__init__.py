"""A small SAM with its weights."""
