"""From examples to batches: recipes, subsets, copy-paste."""
