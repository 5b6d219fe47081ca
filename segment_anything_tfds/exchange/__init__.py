"""Other formats, there and back: archives and prepared data out, masks of people and tools in."""
