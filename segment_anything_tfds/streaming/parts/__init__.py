"""One archive at a time: read, checked and serialised in a thread of its own."""
