"""From bytes to pairs: where archives are, and what is in them."""
