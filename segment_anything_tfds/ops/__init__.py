"""From tensors to tensors: masks, boxes, prompts and transforms in the input graph. Needs TensorFlow alone."""
