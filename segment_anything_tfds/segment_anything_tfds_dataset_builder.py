"""Lets `tfds build`, run in this folder, find the builder: it looks for a module named after it."""

from segment_anything_tfds import segment_anything_dataset_builder


class Builder(segment_anything_dataset_builder.Builder, skip_registration=True):
    """The builder, in a module of the name that `tfds build` looks for."""

    name = 'segment_anything'
