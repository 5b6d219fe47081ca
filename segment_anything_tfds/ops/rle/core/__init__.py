"""What the operations on RLE share: parsed strings, run boundaries, views, drawing."""
