"""COCO RLE in NumPy; `coco_rle` is its public face."""
