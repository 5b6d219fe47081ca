"""SAM as a Keras model: prompts in, masks out."""
