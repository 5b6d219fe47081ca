"""Labels joined to examples by annotation id, in the input graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from segment_anything_tfds.ops.rle.core import ranges
from segment_anything_tfds.source import label_table

_FLAG = 'has_label'


class _Column(NamedTuple):
    """One column of a table.

    Attributes:
      values: [n] or [n, D], in memory; None where they are mapped from a file.
      source: the table's column.
      words: string [w + 1], the different texts and the empty one; None for numbers.
    """

    values: tf.Tensor | None
    source: label_table.Column
    words: tf.Tensor | None

    def read(self) -> tf.Tensor:
        """The values; those of a file are mapped into memory, of which only what is read is there.

        To be called in the graph: a mapped tensor holds the file open for one step.
        """
        if self.values is not None:
            return self.values
        return tf.raw_ops.ImmutableConst(
            dtype=tf.as_dtype(self.source.values.dtype),
            shape=self.source.values.shape,
            memory_region_name=self.source.path,
        )


def with_labels(
    dataset: tf.data.Dataset, table: label_table.Table | label_table.LabelTable
) -> tf.data.Dataset:
    """Joins what a table says of each mask to the examples, by annotation id.

    A table of up to 64 MiB is held in memory. A larger one is sorted once into files beside it and
    looked up there: memory does not grow with it, and nothing is computed in Python.

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
      ValueError: a table without `id`, an id that occurs twice, a column of another kind, a column
        that the examples have already, or examples without `id`.

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
    ids = _column(table.ids)
    columns = {name: _column(column) for name, column in table.columns.items()}

    def function(example: Mapping[str, Any]) -> dict[str, Any]:
        annotations = example['annotations']
        found = _look_up(ids, columns, tf.cast(annotations['id'], tf.int64))
        return {**example, 'annotations': {**annotations, **found}}

    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _column(column: label_table.Column) -> _Column:
    """Holds a column that is not mapped; one without rows gets one, so that it can be gathered."""
    values = None
    if column.path is None:
        held = column.values
        if not len(held):
            held = np.full((1, *held.shape[1:]), -1, held.dtype)
        values = tf.constant(held)
    words = None if column.words is None else tf.constant([*column.words, ''])
    return _Column(values, column, words)


@tf.autograph.experimental.do_not_convert
def _look_up(ids: _Column, columns: dict[str, _Column], wanted: tf.Tensor) -> dict[str, tf.Tensor]:
    known_ids = ids.read()
    row = ranges.rank(known_ids, wanted, side='left')
    row = tf.minimum(row, tf.size(known_ids, tf.int64) - 1)
    known = tf.equal(tf.gather(known_ids, row), wanted)
    found = {_FLAG: known}
    for name, column in columns.items():
        values = tf.gather(column.read(), row)
        if column.words is not None:
            last = tf.size(column.words) - 1
            found[name] = tf.gather(column.words, tf.where(known, values, last))
        else:
            here = tf.reshape(known, [-1] + [1] * (values.shape.rank - 1))
            found[name] = tf.where(here, values, tf.cast(column.source.missing, values.dtype))
    return found
