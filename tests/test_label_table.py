"""Tables of labels: small and large ones say the same as a dictionary."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from segment_anything_tfds.source import label_sorting, label_table


def _table(rows, seed=0):
    """Rows with ids in random order: a pyarrow table, and the same as a dictionary."""
    rng = np.random.default_rng(seed)
    ids = rng.choice(10 * rows + 10, rows, replace=False) + 400_000_000
    words = rng.choice(['dog', 'cat', 'traffic light', 'a, "b"', ''], rows)
    scores = rng.random(rows).astype(np.float32)
    levels = rng.integers(-3, 4, rows)
    vectors = rng.random((rows, 4)).astype(np.float32)
    columns = {'id': ids, 'label': words, 'score': scores, 'level': levels}
    table = pa.table({**columns, 'embedding': list(vectors)})
    expected = {
        int(n): (str(word), score, level, vector)
        for n, word, score, level, vector in zip(ids, words, scores, levels, vectors, strict=True)
    }
    return table, expected


def _write(table, path):
    if path.suffix == '.parquet':
        parquet.write_table(table, path, row_group_size=1000)
    else:
        texts = [json.dumps(vector) for vector in table['embedding'].to_pylist()]
        place = table.schema.get_field_index('embedding')
        csv.write_csv(table.set_column(place, 'embedding', [texts]), path)
    return path


def _assert_equal(found, expected, ids):
    assert found['has_label'].tolist() == [number in expected for number in ids]
    for n, number in enumerate(ids):
        word, score, level, vector = expected.get(number, ('', 0, -1, np.zeros(4)))
        assert found['label'][n] == word and found['level'][n] == level
        np.testing.assert_allclose(found['score'][n], score, rtol=1e-6)
        np.testing.assert_allclose(found['embedding'][n], vector, rtol=1e-6)


@pytest.mark.parametrize('suffix', ['.csv', '.parquet'])
@pytest.mark.parametrize('mapped', [False, True])
def test_tables_say_what_a_dictionary_says(suffix, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(label_sorting, '_BUCKET', 700)
    if mapped:
        monkeypatch.setattr(label_table, 'MAPPED_FROM', 0)
    table, expected = _table(5000)
    path = _write(table, tmp_path / f'labels{suffix}')
    opened = label_table.open_table(path, cache_dir=tmp_path / 'cache')
    ids = [*np.random.default_rng(1).choice(list(expected), 200).tolist(), 1, 2**40, 400_000_000]
    _assert_equal(opened.look_up(ids), expected, ids)
    assert (opened.ids.path is not None) == mapped
    assert np.all(np.diff(opened.ids.values) > 0) and len(opened.ids.values) == 5000
    for name, values in opened.look_up([]).items():
        assert len(values) == 0, name


def test_large_tables_are_sorted_once(tmp_path, monkeypatch):
    monkeypatch.setattr(label_table, 'MAPPED_FROM', 0)
    table, _ = _table(100)
    path = _write(table, tmp_path / 'labels.parquet')
    label_table.open_table(path)
    assert len(list(tmp_path.glob('labels.parquet.*.columns'))) == 1
    monkeypatch.setattr(label_sorting, 'sort', None)
    label_table.open_table(path)
    monkeypatch.undo()
    monkeypatch.setattr(label_table, 'MAPPED_FROM', 0)
    _write(_table(50, seed=1)[0], path)
    assert len(label_table.open_table(path).ids.values) == 50, 'another table'
    assert not list(tmp_path.glob('*.incomplete'))


def test_several_files(tmp_path):
    parts = [_table(300, seed) for seed in (0, 1)]
    first, second = (
        _write(part[0].set_column(0, 'id', [pa.array(np.arange(300) + 1000 * n)]), tmp_path / name)
        for n, (part, name) in enumerate(zip(parts, ('a.parquet', 'b.parquet'), strict=True))
    )
    found = label_table.open_table([second, first]).look_up([299, 1299, 300])
    assert found['label'] == [
        parts[0][0]['label'][299].as_py(),
        parts[1][0]['label'][299].as_py(),
        '',
    ]


BAD = {
    'no id': ({'number': [1]}, '`id`'),
    'id of text': ({'id': ['a']}, '`id` to hold integers'),
    'id twice': ({'id': [7, 8, 7]}, '7 twice'),
    'id below 0': ({'id': [-1]}, '`id` from 0'),
    'no rows': ({'id': pa.array([], pa.int64())}, 'an empty table'),
    'lists of several lengths': ({'id': [1, 2], 'e': [[1.0], [1.0, 2.0]]}, '`e` to hold lists'),
    'lists of text': ({'id': [1], 'e': [['a']]}, '`e` to hold lists'),
    'objects': ({'id': [1], 'e': [{'a': 1}]}, '`e` to hold numbers'),
}


@pytest.mark.parametrize('mapped', [False, True])
@pytest.mark.parametrize('case', BAD)
def test_what_a_table_must_be(case, mapped, tmp_path, monkeypatch):
    if mapped:
        monkeypatch.setattr(label_table, 'MAPPED_FROM', 0)
    columns, text = BAD[case]
    parquet.write_table(pa.table(columns), tmp_path / 'labels.parquet')
    with pytest.raises(ValueError, match=r'label_table.open_table`: expected .*; got') as error:
        label_table.open_table(tmp_path / 'labels.parquet')
    assert text in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ['labels.parquet'], 'nothing is left'


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'expected `table` .*; got .*absent'):
        label_table.open_table(tmp_path / 'absent.csv')
    for name, data in {'a.csv': b'id,label\n1,a\n2\n', 'b.parquet': b'PAR'}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f'in {name}; got'):
            label_table.open_table(tmp_path / name)


_LOOKS_UP = """
import sys, threading, time
import pyarrow.parquet
from segment_anything_tfds.source import label_table

def held():
    lines = open('/proc/self/status').read().splitlines()
    return int(next(line for line in lines if line.startswith('RssAnon')).split()[1])

before, most = held(), [0]

def watch():
    while True:
        most[0] = max(most[0], held())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
found = label_table.open_table(sys.argv[1]).look_up(range(0, 20_000_000, 9973))
assert found['has_label'].all()
assert (found['score'] == [n % 97 for n in range(0, 20_000_000, 9973)]).all()
print((most[0] - before) // 1024)
"""


@pytest.mark.slow
def test_a_large_table_takes_little_memory(tmp_path):
    """20 million rows, 240 MB of columns: what is sorted at once is a tenth of them.

    In a process of its own: in this one, what other tests have freed would be used again.
    """
    rng = np.random.default_rng(0)
    ids = rng.permutation(20_000_000)
    path = tmp_path / 'labels.parquet'
    columns = pa.schema({'id': pa.int64(), 'score': pa.float32()})
    with parquet.ParquetWriter(path, columns) as file:
        for part in np.split(ids, 20):
            file.write_table(pa.table({'id': part, 'score': (part % 97).astype(np.float32)}))
    done = subprocess.run([sys.executable, '-c', _LOOKS_UP, path], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert int(done.stdout) < 256, 'MB that are no pages of files'
