"""Labels joined to examples: the same as looking each id up in the table."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from pyarrow import csv, parquet

from segment_anything_tfds import training
from segment_anything_tfds.source import label_sorting, label_table

datasets = training.datasets
IDS = [[400_000_007, 3, 2**40], [], [400_000_000 + 3 * n for n in range(50)]]


@pytest.fixture(scope='module')
def table():
    """2,000 rows in random order."""
    rng = np.random.default_rng(0)
    ids = 400_000_000 + rng.permutation(2000)
    return pa.table(
        {
            'id': ids,
            'label': rng.choice(['dog', 'traffic light', 'a, "b"', ''], 2000),
            'score': rng.random(2000).astype(np.float32),
            'level': rng.integers(-3, 4, 2000),
            'embedding': list(rng.random((2000, 4)).astype(np.float32)),
        }
    )


def _examples():
    """Examples whose masks have the ids; areas tell them apart."""

    def one(ids):
        ids = tf.cast(ids, tf.uint64)
        return {
            'image': {'image_id': 1},
            'annotations': {'id': ids, 'area': tf.range(tf.size(ids))},
        }

    return tf.data.Dataset.from_tensor_slices(tf.ragged.constant(IDS, tf.int64)).map(one)


@pytest.mark.parametrize('mapped', [False, True])
def test_examples_have_what_the_table_says(table, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(label_sorting, '_BUCKET', 700)
    if mapped:
        monkeypatch.setattr(label_table, 'MAPPED_FROM', 0)
    parquet.write_table(table, tmp_path / 'labels.parquet')
    joined = datasets.with_labels(_examples(), tmp_path / 'labels.parquet')
    opened = label_table.open_table(tmp_path / 'labels.parquet')
    spec = joined.element_spec['annotations']
    kinds = {name: (part.dtype, part.shape.as_list()) for name, part in spec.items()}
    assert kinds == {
        'id': (tf.uint64, [None]),
        'area': (tf.int32, [None]),
        'label': (tf.string, [None]),
        'score': (tf.float32, [None]),
        'level': (tf.int64, [None]),
        'embedding': (tf.float32, [None, 4]),
        'has_label': (tf.bool, [None]),
    }
    for ids, example in zip(IDS, joined.as_numpy_iterator(), strict=True):
        expected = opened.look_up(ids)
        found = example['annotations']
        assert [text.decode() for text in found['label']] == list(expected['label'])
        for name in ('score', 'level', 'embedding', 'has_label'):
            np.testing.assert_array_equal(found[name], expected[name], strict=True)


def test_labels_go_where_their_masks_go(table, tmp_path):
    csv.write_csv(table.select(['id', 'label']), tmp_path / 'labels.csv')
    joined = datasets.with_labels(_examples(), label_table.open_table(tmp_path / 'labels.csv'))
    words = dict(zip(table['id'].to_pylist(), table['label'].to_pylist(), strict=True))
    for example in joined.filter(datasets.num_masks(10)).as_numpy_iterator():
        found = example['annotations']
        for number, text in zip(found['id'], found['label'], strict=True):
            assert text.decode() == words.get(int(number), '')


def test_what_does_not_fit_is_refused(table, tmp_path):
    path = tmp_path / 'labels.parquet'
    parquet.write_table(table, path)
    joined = datasets.with_labels(_examples(), path)
    nothing = label_table.LabelTable(label_table.Column(np.zeros([0], np.int64)), {})
    with pytest.raises(ValueError, match=r'expected `table` with rows; got none'):
        datasets.with_labels(_examples(), nothing)
    with pytest.raises(ValueError, match=r"expected `table` of columns that .*\['embedding', 'has"):
        datasets.with_labels(joined, path)
    with pytest.raises(ValueError, match=r'expected `dataset` of examples with annotations and'):
        datasets.with_labels(tf.data.Dataset.range(3), path)
    with pytest.raises(FileNotFoundError, match=r'absent\.csv'):
        datasets.with_labels(_examples(), tmp_path / 'absent.csv')
