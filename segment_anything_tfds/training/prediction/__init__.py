"""Prediction with a model that is trained: compiled, on images of any size."""
