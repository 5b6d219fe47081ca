"""How masks are judged: at the original size, by clicks, by pairs, as proposals."""
