"""From a pair to a checked record: annotations, JPEGs, COCO RLE in NumPy."""
