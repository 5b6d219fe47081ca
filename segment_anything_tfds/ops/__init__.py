"""From tensors to tensors: masks, boxes, prompts, transforms. Needs TensorFlow alone."""
