"""From examples to batches, and the losses, metrics and evaluation that SAM training needs."""
