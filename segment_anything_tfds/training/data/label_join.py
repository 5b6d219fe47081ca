"""Labels joined to examples by annotation id, in the input pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from segment_anything_tfds.ops.rle.core import ranges
from segment_anything_tfds.source import label_table

_FLAG = 'has_label'


def with_labels(
    dataset: tf.data.Dataset, table: label_table.Table | label_table.LabelTable
) -> tf.data.Dataset:
    """Joins what a table says of each mask to the examples, by annotation id.

    A table of up to 64 MiB is held in memory and looked up in the graph. A larger one is sorted
    once into files beside it, of which NumPy looks up a few pages for each example, whatever the
    size; such a data set stays in its process, so no `tf.data` service takes it.

    Args:
      dataset: examples of the data set, not batched.
      table: a CSV or Parquet file with a column `id` and others of your own (texts, numbers, lists
        of numbers of one length), or several such files; or what `label_table.open_table` gave.

    Returns:
      The data set; `annotations` of each example has the other columns too, string, int64 or
      float32 [N], or [N, D] for lists, with '', -1 or 0 for masks that the table has not; and
      `has_label` bool [N], which says what it has. Zero masks give [0].

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a table without `id` or rows, an id that occurs twice, a column of another kind
        or one that the examples have already, or examples without `id`.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / 'labels.csv'
      >>> _ = path.write_text('id,label,score\\n7,dog,0.5\\n3,cat,0.9\\n')
      >>> examples = tf.data.Dataset.from_tensors({'annotations': {'id': [3, 4]}})
      >>> next(iter(with_labels(examples, path)))['annotations']['label'].numpy().tolist()
      [b'cat', b'']
    """
    if not isinstance(table, label_table.LabelTable):
        table = label_table.open_table(table)
    spec = dataset.element_spec
    annotations = spec.get('annotations', {}) if isinstance(spec, Mapping) else {}
    if 'id' not in annotations:
        raise ValueError(
            'datasets.with_labels: expected `dataset` of examples with annotations and their `id`; '
            f'got {spec}. Join before examples are made into batches.'
        )
    taken = sorted(annotations.keys() & {*table.columns, _FLAG})
    if taken:
        raise ValueError(
            'datasets.with_labels: expected `table` of columns that the examples have not; got '
            f'{taken}. Rename them in the table, or join it once.'
        )
    if not len(table.ids.values):
        raise ValueError('datasets.with_labels: expected `table` with rows; got none. Fill it.')
    find = _find_in_files(table) if table.ids.path else _find_in_memory(table)
    words = {
        name: tf.constant([*column.words, ''])
        for name, column in table.columns.items()
        if column.words is not None
    }

    @tf.autograph.experimental.do_not_convert
    def function(example: Mapping[str, Any]) -> dict[str, Any]:
        annotations = example['annotations']
        known, rows = find(tf.cast(annotations['id'], tf.int64))
        found = {_FLAG: known}
        for (name, column), values in zip(table.columns.items(), rows, strict=True):
            if name in words:
                last = tf.size(words[name]) - 1
                found[name] = tf.gather(words[name], tf.where(known, values, last))
            else:
                here = tf.reshape(known, [-1] + [1] * (column.values.ndim - 1))
                found[name] = tf.where(here, values, tf.cast(column.missing, values.dtype))
        return {**example, 'annotations': {**annotations, **found}}

    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _find_in_memory(table: label_table.LabelTable) -> Callable:
    """Looks ids up in the graph: bool [N], whether they are there, and each column's values."""
    ids, *columns = (tf.constant(column.values) for column in (table.ids, *table.columns.values()))

    def find(wanted: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        row = tf.minimum(ranges.rank(ids, wanted, side='left'), tf.size(ids, tf.int64) - 1)
        return tf.equal(tf.gather(ids, row), wanted), [tf.gather(c, row) for c in columns]

    return find


def _find_in_files(table: label_table.LabelTable) -> Callable:
    """Looks ids up by NumPy: TensorFlow's own op for mapped files copies them into memory."""
    ids, *columns = (column.values for column in (table.ids, *table.columns.values()))

    def look_up(wanted: np.ndarray) -> list[np.ndarray]:
        row = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        return [ids[row] == wanted, *(column[row] for column in columns)]

    def find(wanted: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        kinds = [tf.bool, *(tf.as_dtype(column.dtype) for column in columns)]
        known, *rows = tf.numpy_function(look_up, [wanted], kinds, stateful=False)
        shapes = ([None, *column.shape[1:]] for column in columns)
        rows = [tf.ensure_shape(row, shape) for row, shape in zip(rows, shapes, strict=True)]
        return tf.ensure_shape(known, [None]), rows

    return find
