"""Serialises checked examples, column by column, with TFDS's own serialiser.

TFDS encodes and serialises a sequence one annotation and one leaf at a time, which for 100
annotations costs more than to gunzip the image. An example that comes as whole columns needs none
of that: a specification without the sequence rank makes TFDS's serialiser take each column in one
step, and the bytes mean the same.
"""

from __future__ import annotations

from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.core.features import feature as feature_lib
from tensorflow_datasets.core.utils import py_utils

from segment_anything_tfds.source import annotations

Specs = dict[str, feature_lib.TensorInfo]


def column_specs(features: feature_lib.FeatureConnector) -> Specs:
    """The flat specification of each column, `'annotations/area'` and so on; picklable."""
    flat = py_utils.flatten_nest_dict(features.get_serialized_info())
    return {name: feature_lib.TensorInfo(spec.shape, spec.np_dtype) for name, spec in flat.items()}


class Serializer:
    """Turns a checked example into the bytes of a `tf.train.Example`, the same in every process."""

    def __init__(self, specs: Specs):
        self._serializer = example_serializer.ExampleSerializer(specs)

    def serialize(self, example: annotations.Example) -> bytes:
        columns = {f'image/{name}': value for name, value in example.image.items()}
        for name, column in example.annotations.items():
            name = f'segmentation/{name}' if name in ('counts', 'size') else name
            columns[f'annotations/{name}'] = column
        return self._serializer.get_tf_example(columns).SerializeToString(deterministic=True)
