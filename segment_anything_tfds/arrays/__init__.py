"""Examples with random access and rows for training in NumPy, without TensorFlow."""
