"""Examples straight from archives and links: mixed, positioned, nothing stored."""
