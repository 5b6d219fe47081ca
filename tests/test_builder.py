"""The builder, from archives to `tfds.load`."""

import hashlib
import io
import json
import pickle

import numpy as np
import pytest
import samples
import tensorflow as tf
import tensorflow_datasets as tfds
from building import archives, build, builder, digests, read, run_python
from PIL import Image

from segment_anything_tfds.prepare import build as build_lib
from segment_anything_tfds.source import checksums, faults
from segment_anything_tfds.source.archive import extract, pair_stream

FEW_PAIRS = 'expected 11,186 pairs, as all known archives of SA-1B have; got 4'


@pytest.fixture(scope='module')
def manual_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('manual')
    samples.write_archives(folder, archives=3)
    return folder


@pytest.fixture(scope='module')
def built(manual_dir, tmp_path_factory):
    return build(manual_dir, tmp_path_factory.mktemp('data'))


def test_one_shard_an_archive_in_numeric_order(built):
    assert built.info.splits['train'].shard_lengths == [4, 4, 4]
    second = {int(e['image']['image_id']) for e in read(built, 'train[1shard]')}
    assert second == {1001, 1002, 1003, 1004}


def test_examples_hold_what_the_archive_holds(built, manual_dir):
    files = samples.members(1, 4) | samples.members(1001, 4) | samples.members(2001, 4)
    examples = read(built)
    assert len(examples) == 12
    for example in examples:
        name = example['image']['file_name'].decode()
        assert example['image']['content'] == files[f'./{name}']
        record = json.loads(files['./' + name.replace('.jpg', '.json')])
        assert example['image']['height'] == record['image']['height']
        counts = [a['segmentation']['counts'].encode() for a in record['annotations']]
        assert example['annotations']['segmentation']['counts'].tolist() == counts
        ids = [a['id'] for a in record['annotations']]
        assert example['annotations']['id'].tolist() == ids


def test_images_decode(built):
    example = next(iter(tfds.as_numpy(built.as_dataset('train'))))
    jpeg = samples.jpeg(int(example['image']['image_id']))
    expected = tf.io.decode_jpeg(jpeg, channels=3).numpy()
    np.testing.assert_array_equal(example['image']['content'], expected)
    assert Image.open(io.BytesIO(jpeg)).size == (samples.WIDTH, samples.HEIGHT)


def test_nothing_is_left_beside_the_data_set(built):
    left = sorted(path.name for path in built.data_path.parent.iterdir())
    assert left == ['1.0.0']


def test_metadata_names_the_archives(built):
    assert built.info.metadata == {
        'archives': '0-2',
        'archives_built': '0-2',
        'archives_reused': '',
        'skipped': {},
        'doubtful': {name: FEW_PAIRS for name in ('sa_000000', 'sa_000001', 'sa_000002')},
    }


def test_read_from_its_folder_alone(built):
    again = tfds.builder_from_directory(built.data_dir)
    assert again.info.features['annotations']['segmentation']['counts'].np_dtype == np.object_
    assert [e['image']['image_id'] for e in read(again)] == [
        e['image']['image_id'] for e in read(built)
    ]


def test_features_are_those_of_tfds(built):
    from tensorflow_datasets.datasets.segment_anything import segment_anything_dataset_builder

    theirs = segment_anything_dataset_builder.Builder(data_dir=built.data_path.parent / 'none')
    assert repr(built.info.features) == repr(theirs.info.features)
    assert built.info.features.to_json() == theirs.info.features.to_json()
    assert built.info.citation == theirs.info.citation
    assert built.info.homepage == theirs.info.homepage
    assert built.info.redistribution_info == theirs.info.redistribution_info
    assert (built.name, built.version) == (theirs.name, theirs.version)
    assert built.get_metadata().tags == theirs.get_metadata().tags
    assert built.release_notes == theirs.release_notes


def test_serialises_as_tfds_does(built):
    features = built.info.features
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    path = built.data_path / 'segment_anything-train.tfrecord-00000-of-00003'
    for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        ours = tf.train.Example.FromString(raw)
        image_id = ours.features.feature['image/image_id'].int64_list.value[0]
        record = samples.record(image_id)
        height, width = samples.HEIGHT, samples.WIDTH
        for annotation in record['annotations']:
            for key in ('bbox', 'crop_box'):
                x, y, w, h = annotation[key]
                annotation[key] = np.array(
                    [y / height, x / width, (y + h) / height, (x + w) / width]
                )
        image = record['image'] | {'content': io.BytesIO(samples.jpeg(image_id))}
        encoded = features.encode_example({'image': image, 'annotations': record['annotations']})
        theirs = tf.train.Example.FromString(serializer.serialize_example(encoded))
        assert ours == theirs


def test_array_record_through_data_source(manual_dir, tmp_path, built):
    records = build(manual_dir, tmp_path, file_format='array_record')
    source = records.as_data_source('train')
    assert len(source) == 12
    assert sorted(int(source[i]['image']['image_id']) for i in range(12)) == sorted(
        int(e['image']['image_id']) for e in read(built)
    )
    example = source[0]
    height, width = samples.HEIGHT, samples.WIDTH
    assert example['image']['content'].shape == (height, width, 3)
    assert np.shape(example['annotations']['bbox']) == (3, 4)


@pytest.mark.parametrize(
    ('config', 'canonical', 'shards'), [('1-2', '1-2', 2), ('2+0', '0+2', 2), ('sa_000001', '1', 1)]
)
def test_config_names_the_archives(manual_dir, tmp_path, config, canonical, shards):
    subset = build(manual_dir, tmp_path, config)
    assert subset.builder_config.name == canonical
    assert subset.info.splits['train'].num_shards == shards
    assert subset.data_path == tmp_path / 'segment_anything' / canonical / '1.0.0'
    ds = tfds.load(f'segment_anything/{canonical}', split='train', data_dir=str(tmp_path))
    assert len(ds) == 4 * shards


@pytest.mark.parametrize(('name', 'canonical'), [('0', '0'), ('2+0-1', '0-2'), ('', None)])
def test_config_as_an_object(tmp_path, name, canonical):
    config = tfds.core.BuilderConfig(name=name)
    named = tfds.builder('segment_anything', config=config, data_dir=str(tmp_path))
    assert named.builder_config_name == canonical
    again = pickle.loads(pickle.dumps(named))
    assert again.data_path == named.data_path == builder(tmp_path, canonical).data_path
    with pytest.raises(ValueError, match="got 'many'"):
        tfds.builder('segment_anything', config=tfds.core.BuilderConfig(name='many'))


def test_selection_that_is_overwritten_is_built_again(manual_dir, tmp_path):
    build(manual_dir, tmp_path, '0')
    again = builder(tmp_path, '0')
    assert 'segment_anything_tfds' in type(again).__module__
    overwrite = {'download_mode': tfds.GenerateMode.REUSE_CACHE_IF_EXISTS}
    rebuilt = build(manual_dir, tmp_path, '0', download_config=overwrite)
    assert rebuilt.info.splits['train'].shard_lengths == [4]


def test_selection_too_long_for_a_folder(tmp_path):
    many = '+'.join(str(number) for number in range(100, 300, 2))
    with pytest.raises(ValueError, match=r'at most 200 characters.*got 399'):
        builder(tmp_path, many)


def test_unknown_config_says_what_it_may_be(tmp_path):
    with pytest.raises(ValueError, match=r"joined by '\+'.*got 'many'"):
        builder(tmp_path, 'many')


def test_archives_that_are_nowhere_are_listed(manual_dir, tmp_path):
    with pytest.raises(ValueError, match=r'none of 7-8'):
        build(manual_dir, tmp_path, '0-2+7-8')
    assert not (tmp_path / 'segment_anything' / '0-2+7-8' / '1.0.0').exists()


def test_folders_and_files_in_one_build(tmp_path):
    manual = tmp_path / 'manual'
    samples.write_archives(manual, archives=2)
    (manual / 'sa_000001.tar').unlink()
    (manual / 'sa_000001').mkdir()
    for name, data in samples.members(1001, 4).items():
        (manual / 'sa_000001' / name).write_bytes(data)
    mixed = build(manual, tmp_path / 'data')
    assert mixed.info.splits['train'].shard_lengths == [4, 4]


def test_half_of_a_folder_beside_its_archive_counts_for_nothing(tmp_path):
    manual = tmp_path / 'manual'
    samples.write_archives(manual, archives=1)
    (manual / 'sa_000000').mkdir()
    for name, data in samples.members(1, 1).items():
        (manual / 'sa_000000' / name).write_bytes(data)
    built = build(manual, tmp_path / 'data')
    assert built.info.splits['train'].shard_lengths == [4]
    assert built.info.metadata['doubtful'] == {'sa_000000': FEW_PAIRS}


@pytest.mark.parametrize('noted', [None, 4, 5])
def test_folders_that_may_not_be_whole_are_named(noted, tmp_path, caplog):
    manual = tmp_path / 'manual'
    samples.write_archives(tmp_path, archives=1)
    if noted:
        source = pair_stream.Source(7, 'file', str(tmp_path / 'sa_000000.tar'))
        assert extract.extract(source, manual, apart=True, on_fault=print) == 4
        note = manual / '.sa1b' / 'sa_000007.extracted.json'
        note.write_text(note.read_text().replace('4', str(noted)))
    else:
        (manual / 'sa_000007').mkdir(parents=True)
        for name, data in samples.members(1, 4).items():
            (manual / 'sa_000007' / name).write_bytes(data)
    built = build(manual, tmp_path / 'data')
    doubt = {
        None: '; was read from a folder that `sa1b` did not extract, so nothing says it is whole',
        4: '',
        5: '; was extracted with 5 pairs, of which 4 are left',
    }[noted]
    assert built.info.metadata['doubtful'] == {'sa_000007': FEW_PAIRS + doubt}
    closing = 'archives 7 do not have the 11,186 pairs of all known ones'
    if doubt:
        closing += ', and archives 7 were read from folders that nothing says are whole'
    assert f'Built; but {closing} (`builder.info.metadata' in caplog.text


@pytest.mark.parametrize('limit', [1, 4, 6])
def test_max_examples_per_split(manual_dir, tmp_path, limit):
    some = build(manual_dir, tmp_path, download_config={'max_examples_per_split': limit})
    assert some.info.splits['train'].num_examples == limit
    assert some.info.splits['train'].num_shards == -(-limit // 4)


def test_no_examples_on_request(manual_dir, tmp_path):
    none = build(manual_dir, tmp_path, download_config={'max_examples_per_split': 0})
    assert not none.info.splits
    assert none.is_prepared()


def test_shards_per_archive(manual_dir, tmp_path, built):
    spread = build(manual_dir, tmp_path, shards_per_archive=3)
    assert spread.info.splits['train'].shard_lengths == [2, 1, 1] * 3
    first = {int(e['image']['image_id']) for e in read(spread, 'train[:3shard]')}
    assert first == {1, 2, 3, 4}


def test_unknown_choices(tmp_path):
    with pytest.raises(ValueError, match=r"`on_error` to be 'fail' or 'skip'; got 'ignore'"):
        builder(tmp_path, on_error='ignore')
    with pytest.raises(ValueError, match=r'`shards_per_archive` from 1 to 1000; got 0'):
        builder(tmp_path, shards_per_archive=0)
    with pytest.raises(ValueError, match=r'`shards_per_archive` from 1 to 1000; got 2.5'):
        builder(tmp_path, shards_per_archive=2.5)


def test_pickles_with_its_choices(tmp_path):
    again = pickle.loads(pickle.dumps(builder(tmp_path, '20', on_error='skip')))
    assert again.builder_config.name == '20'
    assert again._options.on_error == 'skip'


def _damage(manual_dir, number, name, data):
    files = samples.members(1 + number * 1000, 4)
    files[name] = data
    samples.write_archive(manual_dir / f'sa_{number:06d}.tar', files)


def test_fail_keeps_the_good_archives_and_skip_does_only_the_rest(tmp_path):
    manual, data = tmp_path / 'manual', tmp_path / 'data'
    samples.write_archives(manual, archives=3)
    _damage(manual, 1, './sa_1002.json', b'{')
    _damage(manual, 2, './sa_2003.jpg', samples.jpeg(2003)[:200])
    with pytest.raises(faults.DataError) as caught:
        build(manual, data)
    text = str(caught.value)
    assert '2 of 3 archives' in text
    assert 'sa_000001 / sa_1002.json' in text and 'json_invalid' in text
    assert 'sa_000002 / sa_2003.jpg' in text and 'jpeg' in text
    assert "'on_error': 'skip'" in text

    skipped = build(manual, data, on_error='skip')
    assert skipped.info.splits['train'].shard_lengths == [4, 3, 3]
    assert archives(skipped, 'reused') == 1
    assert archives(skipped, 'built') == 2
    assert sum(skipped.info.metadata['skipped'].values()) == 2
    report = (skipped.data_path / 'faults.jsonl').read_text().splitlines()
    assert {(json.loads(line)['archive'], json.loads(line)['member']) for line in report} == {
        ('sa_000001', 'sa_1002.json'),
        ('sa_000002', 'sa_2003.jpg'),
    }


def test_skip_leaves_out_an_annotation_and_keeps_its_image(tmp_path):
    manual = tmp_path / 'manual'
    samples.write_archives(manual, archives=1)
    record = samples.record(2)
    record['annotations'][1]['bbox'][2] = -1.0
    _damage(manual, 0, './sa_2.json', json.dumps(record).encode())
    skipped = build(manual, tmp_path / 'data', on_error='skip')
    by_id = {int(e['image']['image_id']): e for e in read(skipped)}
    assert by_id[2]['annotations']['id'].tolist() == [2000, 2002]
    fault = json.loads((skipped.data_path / 'faults.jsonl').read_text())
    assert fault['annotation_id'] == 2001


def test_same_image_twice_in_an_archive(tmp_path):
    manual = tmp_path / 'manual'
    files = samples.members(1, 3)
    record = samples.record(2)
    record['image']['file_name'] = 'sa_9.jpg'
    files |= {'./sa_9.jpg': samples.jpeg(2), './sa_9.json': json.dumps(record).encode()}
    manual.mkdir()
    samples.write_archive(manual / 'sa_000000.tar', files)
    with pytest.raises(faults.DataError, match='image_id'):
        build(manual, tmp_path / 'data')


def test_rebuilds_when_the_archive_changed(tmp_path):
    manual, data = tmp_path / 'manual', tmp_path / 'data'
    samples.write_archives(manual, archives=2)
    _damage(manual, 1, './sa_1002.json', b'{')
    with pytest.raises(faults.DataError):
        build(manual, data)
    samples.write_archive(manual / 'sa_000000.tar', samples.members(1, 7))
    samples.write_archive(manual / 'sa_000001.tar', samples.members(1001, 4))
    assert build(manual, data).info.splits['train'].shard_lengths == [7, 4]


def test_digests_that_do_not_match(manual_dir, tmp_path):
    digests_file = tmp_path / 'MD5SUMS'
    good = hashlib.md5((manual_dir / 'sa_000000.tar').read_bytes()).hexdigest()
    digests_file.write_text(f'{good}  sa_000000.tar\n{"0" * 32}  sa_000002.tar\n')
    with pytest.raises(faults.DataError, match=r'1 of 3.*\n.*sa_000002.*got [0-9a-f]{32}'):
        build(manual_dir, tmp_path, digests=str(digests_file))


def test_digests_are_asked_of_archives_finished_before(tmp_path):
    manual, data = tmp_path / 'manual', tmp_path / 'data'
    samples.write_archives(manual, archives=2)
    _damage(manual, 1, './sa_1002.json', b'{')
    with pytest.raises(faults.DataError):
        build(manual, data)
    samples.write_archives(manual, archives=2)
    (tmp_path / 'MD5SUMS').write_text(f'{"0" * 32}  sa_000000.tar\n')
    with pytest.raises(faults.DataError, match=r'1 of 2.*\n.*sa_000000.*got [0-9a-f]{32}'):
        build(manual, data, digests=str(tmp_path / 'MD5SUMS'))


def _write_digests(path, manual_dir, wrong=()):
    """A list of the digests of archives, of which some are not right."""
    rows = []
    for archive in sorted(manual_dir.glob('*.tar')):
        good = hashlib.md5(archive.read_bytes()).hexdigest()
        rows.append(f'{"0" * 32 if archive.name in wrong else good}  {archive.name}\n')
    path.write_text(''.join(rows))
    return str(path)


def test_skip_leaves_out_an_archive_whose_digest_does_not_match(manual_dir, tmp_path):
    mine = _write_digests(tmp_path / 'MD5SUMS', manual_dir, wrong=['sa_000001.tar'])
    skipped = build(manual_dir, tmp_path, digests=mine, on_error='skip')
    assert skipped.info.splits['train'].shard_lengths == [4, 0, 4]
    assert skipped.info.metadata['skipped'] == {'archive_digest': 1}
    assert len(read(skipped)) == 8
    assert len(read(skipped, 'train[2shard:]')) == 4
    fault = json.loads((skipped.data_path / 'faults.jsonl').read_text())
    assert fault['archive'] == 'sa_000001' and fault['reason'] == 'archive_digest'


@pytest.mark.parametrize('first', ['right', 'wrong'])
def test_finished_archives_are_judged_by_the_list_of_today(
    manual_dir, tmp_path, monkeypatch, first
):
    def full(*_):
        raise OSError(28, 'No space left on device')

    mine = tmp_path / 'MD5SUMS'
    wrong = ['sa_000001.tar']
    choices = {'digests': str(mine), 'on_error': 'skip'}
    with monkeypatch.context() as patch, pytest.raises(OSError, match='No space'):
        patch.setattr(build_lib.publish, 'publish', full)
        _write_digests(mine, manual_dir, wrong if first == 'wrong' else ())
        build(manual_dir, tmp_path, **choices)
    _write_digests(mine, manual_dir, () if first == 'wrong' else wrong)
    built = build(manual_dir, tmp_path, **choices)
    assert archives(built, 'reused') == 2
    assert built.info.splits['train'].shard_lengths == [4, 4 if first == 'wrong' else 0, 4]


def test_archive_with_a_known_digest_that_cannot_be_compared(tmp_path, caplog):
    """Since it is extracted, or not read to its end."""
    digest = checksums.load().digest('sa_000014')
    (tmp_path / 'MD5SUMS').write_text(f'{digest}  sa_000014.tar\n')
    folder = tmp_path / 'manual' / 'sa_000014'
    folder.mkdir(parents=True)
    for name, data in samples.members(1, 3).items():
        (folder / name).write_bytes(data)
    built = build(tmp_path / 'manual', tmp_path / 'a', digests=str(tmp_path / 'MD5SUMS'))
    assert built.info.splits['train'].shard_lengths == [3]
    assert 'Archives 14 are extracted, so there is no digest' in caplog.text

    (tmp_path / 'other').mkdir()
    samples.write_archive(tmp_path / 'other' / 'sa_000014.tar', samples.members(1, 3))
    some = {'max_examples_per_split': 2}
    built = build(tmp_path / 'other', tmp_path / 'b', download_config=some)
    assert built.info.splits['train'].shard_lengths == [2]


def test_symbolic_links_in_a_folder_are_not_passed_over(tmp_path):
    folder = tmp_path / 'manual' / 'sa_000000'
    folder.mkdir(parents=True)
    for name, data in samples.members(1, 3).items():
        (tmp_path / name).write_bytes(data)
        if 'sa_3' in name:
            (folder / name).symlink_to(tmp_path / name)
        else:
            (folder / name).write_bytes(data)
    text = r'sa_3\.jpg: expected a file; got a symbolic link, which is not followed'
    with pytest.raises(faults.DataError, match=text):
        build(tmp_path / 'manual', tmp_path / 'data')


def test_equal_builds_have_equal_shards(manual_dir, tmp_path, built):
    assert digests(build(manual_dir, tmp_path).data_path) == digests(built.data_path)


_ORDERS = {
    'ours_first': 'import segment_anything_tfds, tensorflow_datasets as tfds',
    'tfds_first': 'import tensorflow_datasets as tfds, segment_anything_tfds',
    'theirs_loaded': (
        'import tensorflow_datasets as tfds\n'
        'assert "segment_anything_tfds" not in tfds.builder_cls("segment_anything").__module__\n'
        'import tensorflow_datasets.datasets.segment_anything.segment_anything_dataset_builder\n'
        'import segment_anything_tfds'
    ),
    'ours_then_theirs': (
        'import segment_anything_tfds, tensorflow_datasets as tfds\n'
        'tfds.builder_cls("segment_anything")\n'
        'import tensorflow_datasets.datasets.segment_anything.segment_anything_dataset_builder'
    ),
}


@pytest.mark.parametrize('order', _ORDERS)
def test_served_in_whichever_order(order):
    code = _ORDERS[order] + (
        '\nimport sys'
        '\nassert tfds.builder_cls("segment_anything").__module__ == '
        '"segment_anything_tfds.segment_anything_dataset_builder"'
        '\nassert "segment_anything" in tfds.list_builders(with_community_datasets=False)'
        '\nassert tfds.builder_cls("mnist").name == "mnist"'
        '\nimport importlib'
        '\nfrom tensorflow_datasets.core import registered'
        '\nfrom segment_anything_tfds import _registration'
        '\nfor module in (segment_anything_tfds, _registration, registered) * 2:'
        '\n    importlib.reload(module)'
        '\n    _registration.register()'
        '\n    providers = registered._DATASET_PROVIDER_REGISTRY'
        '\n    ours = [p for p in providers if "segment_anything_tfds" in type(p).__module__]'
        '\n    assert ours == providers[:1], providers'
        '\nimportlib.reload(registered)'
        '\nfirst = registered._DATASET_PROVIDER_REGISTRY[0]'
        '\nassert "segment_anything_tfds" in type(first).__module__'
    )
    run_python(code)


def test_functions_after_an_import_and_its_reload():
    run_python("""
import importlib, sys
from segment_anything_tfds import _after_import
calls = []
def first(module): calls.append((1, module.__name__))
def second(module): calls.append((2, module.__name__))
for _ in range(3):
    _after_import.run('json.tool', first)
_after_import.run('json.tool', second)
watchers = len(sys.meta_path)
import json.tool
assert sorted(calls) == [(1, 'json.tool'), (2, 'json.tool')]
importlib.reload(json.tool)
assert len(calls) == 4
_after_import.run('json.tool', second)
assert len(calls) == 5 and len(sys.meta_path) == watchers
""")


def test_build_needs_no_tensorflow(manual_dir, tmp_path):
    code = """
import sys
import tensorflow_datasets as tfds, segment_anything_tfds
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1])
tfds.builder('segment_anything', data_dir=sys.argv[2]).download_and_prepare(download_config=config)
assert 'tensorflow' not in sys.modules
"""
    run_python(code, manual_dir, tmp_path)


def test_reading_prepared_data_imports_no_beam(built):
    code = """
import logging, sys
import segment_anything_tfds, tensorflow_datasets as tfds
builder = tfds.builder('segment_anything', data_dir=sys.argv[1])
assert builder.info.splits['train'].num_examples
ours = {'apache_beam', 'segment_anything_tfds.prepare.build'}
loaded = (ours | {'pandas', 'tensorflow'}) & set(sys.modules)
assert not loaded, loaded
assert len(builder.as_dataset(split='train'))
assert not ours & set(sys.modules), ours & set(sys.modules)
assert len(logging.getLogger().handlers) == 1  # absl's, at TFDS's first line of log
"""
    run_python(code, built.data_path.parent.parent)


def test_shown_by_tfds(built):
    pytest.importorskip('matplotlib').use('agg')
    with pytest.raises(ValueError, match='Visualisation not supported'):  # as of theirs
        tfds.show_examples(built.as_dataset(split='train'), built.info)
    pytest.importorskip('jinja2')  # of the style of pandas
    assert len(tfds.as_dataframe(built.as_dataset(split='train').take(2), built.info)) == 2


def test_import_needs_neither_tensorflow_nor_tfds():
    run_python(
        'import segment_anything_tfds, sys\n'
        'heavy = {"tensorflow", "tensorflow_datasets", "apache_beam"} & set(sys.modules)\n'
        'assert not heavy, heavy'
    )


_TFDS_COMMAND = 'from tensorflow_datasets.scripts.cli import main; main.launch_cli()'


@pytest.mark.parametrize(
    ('name', 'config', 'archives'),
    [
        # By default only by `test_the_command_line_of_tfds`, with worker processes.
        pytest.param('segment_anything', None, 3, marks=pytest.mark.slow),
        ('segment_anything/0-1/on_error=skip', '0-1', 2),
    ],
)
def test_tfds_build(manual_dir, tmp_path, name, config, archives):
    run_python(
        _TFDS_COMMAND,
        'build',
        name,
        '--imports=segment_anything_tfds',
        f'--manual_dir={manual_dir}',
        f'--data_dir={tmp_path}',
        '--beam_pipeline_options=direct_num_workers=1',
    )
    subset = builder(tmp_path, config)
    assert subset.info.splits['train'].shard_lengths == [4] * archives


def test_bucket_that_tensorflow_does_not_know(tmp_path, monkeypatch):
    """The setting that helps is named, where TensorFlow's own error does not name it."""
    monkeypatch.delenv('EPATH_USE_TF', raising=False)
    with pytest.raises(ValueError, match=r'got s3://b/data, .* Set EPATH_USE_TF=false'):
        builder('s3://b/data')
    with pytest.raises(ValueError, match=r'got `manual_dir`, .* Set EPATH_USE_TF=false'):
        build('s3://b/manual', tmp_path)
