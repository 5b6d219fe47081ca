"""From bytes to checked records: links, archives, annotations. Needs no TensorFlow."""
