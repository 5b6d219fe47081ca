"""Serialised examples as NumPy values, without TensorFlow and without TFDS's features.

The structure and the values are those of `tfds.data_source` with undecoded images:

    {'image': {'content': JPEG bytes, 'file_name': bytes, 'height', 'image_id', 'width'},
     'annotations': {'area' [N], 'bbox' [N, 4], ..., 'segmentation': {'counts' [N], 'size' [N, 2]}}}
"""

from __future__ import annotations

from typing import Any

import numpy as np

_COLUMNS: dict[str, tuple[type, tuple[int, ...]]] = {
    'area': (np.uint64, ()),
    'bbox': (np.float32, (4,)),
    'crop_box': (np.float32, (4,)),
    'id': (np.uint64, ()),
    'point_coords': (np.float64, (1, 2)),
    'predicted_iou': (np.float64, ()),
    'segmentation/size': (np.uint64, (2,)),
    'stability_score': (np.float64, ()),
}


def parse(record: bytes) -> dict[str, Any]:
    """Reads the values of a serialised example.

    Args:
      record: a `tf.train.Example` of the data set.

    Returns:
      A dict as above; arrays of N = 0 rows where the image has no masks.
    """
    from segment_anything_tfds import tfds_parts  # imports no TensorFlow

    fields = tfds_parts.Example.FromString(record).features.feature
    columns: dict[str, Any] = {
        name: _column(fields[f'annotations/{name}'], dtype).reshape(-1, *shape)
        for name, (dtype, shape) in _COLUMNS.items()
    }
    counts = np.empty(len(columns['area']), object)
    counts[:] = list(fields['annotations/segmentation/counts'].bytes_list.value)
    columns['segmentation'] = {'counts': counts, 'size': columns.pop('segmentation/size')}
    image: dict[str, Any] = {
        name: fields[f'image/{name}'].int64_list.value[0] % 2**64  # kept as if it were signed
        for name in ('height', 'image_id', 'width')
    }
    for name in ('content', 'file_name'):
        image[name] = fields[f'image/{name}'].bytes_list.value[0]
    return {'annotations': columns, 'image': image}


def _column(field, dtype: type) -> np.ndarray:
    if dtype is np.uint64:
        return np.array(field.int64_list.value, np.int64).astype(np.uint64)
    return np.array(field.float_list.value, np.float32).astype(dtype)
