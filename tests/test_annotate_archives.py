"""Archives from pictures: what goes in, what comes out, and runs that are stopped."""

import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import building
import numpy as np
import pytest
import samples
from PIL import Image

import segment_anything_tfds as sa1b
from segment_anything_tfds import annotate, training
from segment_anything_tfds.annotate.archives import (
    annotation_run,
    archive_pieces,
    archive_task,
    model_source,
)
from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange import records
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import inputs
from segment_anything_tfds.training.tiny import tiny_sam

pytest.importorskip('keras_hub')
pytestmark = pytest.mark.slow

REPO = pathlib.Path(__file__).resolve().parent.parent
# A model of random weights has few masks that differ, so none is dropped here.
SETTINGS = {
    'points_per_side': 2,
    'points_per_batch': 4,
    'pred_iou_thresh': 0.0,
    'stability_score_thresh': 0.0,
    'box_nms_thresh': 1.0,
}
PIECE = archive_pieces.PIECE_IMAGES
IMAGES = 2 * PIECE + 3


@pytest.fixture(scope='module')
def model():
    return training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))


@pytest.fixture(scope='module')
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'sam.keras'
    model.save(path)
    return path


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """A folder of pictures, in two levels, with files beside them that are none."""
    folder = tmp_path_factory.mktemp('photographs')
    (folder / 'more').mkdir()
    for index in range(IMAGES):
        place = folder / 'more' if index % 2 else folder
        (place / f'picture {index:02d}.jpg').write_bytes(samples.jpeg(index))
    (folder / 'notes.txt').write_text('none')
    (folder / '.hidden.jpg').write_bytes(b'none')
    return folder


def _write(paths, model, out, **options):
    options = {'settings': annotate.settings.get('default', **SETTINGS), **options}
    return annotate.write_archives(paths, model, out, progress=None, **options)


@pytest.fixture(scope='module')
def whole(photographs, model, tmp_path_factory):
    """What a run gives that nothing stops: two archives."""
    out = tmp_path_factory.mktemp('whole')
    summary = _write(photographs, model, out, archive_size=IMAGES - 2, first_id=11)
    return out, summary


def _digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def _read(folder):
    return [record for unit in inputs.find([folder]) for record in records.read(unit)]


def test_archives_hold_the_pictures_and_their_masks(whole, photographs, model):
    out, summary = whole
    assert [pathlib.Path(path).name for path in summary.archives] == [
        'sa_000000.tar',
        'sa_000001.tar',
    ]
    assert (summary.images, summary.reused, summary.passed_over) == (IMAGES, 0, {'.txt': 1})
    found = _read(out)
    assert [record.stem for record in found] == [f'sa_{11 + n}' for n in range(IMAGES)]
    generator = annotate.MaskGenerator(model, annotate.settings.get('default', **SETTINGS))
    for record in (found[0], found[-1]):
        pixels = np.asarray(Image.open(io.BytesIO(record.jpeg)).convert('RGB'))
        first = record.json['image']['image_id'] * archive_task.IDS_PER_IMAGE
        expected = [row for row in generator.generate(pixels, first_id=first) if row['area']]
        assert json.loads(json.dumps(expected)) == record.rows and len(record.rows) >= 2
    ids = [row['id'] for record in found for row in record.rows]
    assert len(set(ids)) == len(ids) == summary.masks
    names = sorted(str(path) for path in photographs.rglob('picture*'))
    assert {record.jpeg for record in found} == {pathlib.Path(n).read_bytes() for n in names}


def test_the_side_table_says_which_picture_is_which(whole, photographs):
    with open(whole[0] / annotation_run.TABLE, newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(archive_pieces.COLUMNS) and len(rows) == IMAGES
    by_name = {record.file_name: record for record in _read(whole[0])}
    for row in rows:
        record = by_name[row['file_name']]
        assert pathlib.Path(row['source']).read_bytes() == record.jpeg
        assert int(row['width']) == record.json['image']['width'] == samples.WIDTH
        assert int(row['original_height']) == samples.HEIGHT
        assert int(row['masks']) == len(record.rows)


def test_everything_here_reads_the_archives(whole, tmp_path, capsys):
    out, summary = whole
    assert main.main(['verify', str(out), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(archive['pairs'] for archive in found) == IMAGES
    built = building.build(out, tmp_path)
    examples = building.read(built)
    assert sum(len(example['annotations']['id']) for example in examples) == summary.masks
    with tarfile.open(out / 'sa_000000.tar') as tar:  # a stream of several gzip members
        assert tar.getnames()[0] == '.' and len(tar.getnames()) == 1 + 2 * (IMAGES - 2)
    listed = subprocess.run(['tar', 'tzf', out / 'sa_000000.tar'], capture_output=True, text=True)
    assert (listed.returncode, listed.stderr) == (0, '')


def test_a_run_that_is_given_again_does_nothing(whole, photographs, model, tmp_path):
    out, _ = whole
    before = _digests(out)

    def refuse(*_):
        raise AssertionError('a finished archive was made again')

    generator = annotate.MaskGenerator.generate
    annotate.MaskGenerator.generate = refuse
    try:
        summary = _write(photographs, model, out, archive_size=IMAGES - 2, first_id=11)
    finally:
        annotate.MaskGenerator.generate = generator
    assert summary.reused == 2 and _digests(out) == before


@pytest.mark.parametrize('stop_after', [0, 3, PIECE, 2 * PIECE, IMAGES - 2])
def test_a_run_that_was_stopped_goes_on(
    whole, photographs, model, tmp_path, monkeypatch, stop_after
):
    """What is whole is kept; the end is what it would have been."""
    calls = []
    generate = annotate.MaskGenerator.generate

    def stopping(self, image, **options):
        calls.append(options)
        if len(calls) == stop_after + 1:
            raise KeyboardInterrupt
        return generate(self, image, **options)

    monkeypatch.setattr(annotate.MaskGenerator, 'generate', stopping)
    options = {'archive_size': IMAGES - 2, 'first_id': 11}
    with pytest.raises(KeyboardInterrupt):
        _write(photographs, model, tmp_path, **options)
    tars = [path for path in tmp_path.iterdir() if path.suffix == '.tar']
    assert len(tars) == (stop_after >= IMAGES - 2)
    calls.append(None)  # no second interrupt
    calls *= 100
    _write(photographs, model, tmp_path, **options)
    assert _digests(tmp_path) == _digests(whole[0])


def test_a_piece_that_was_cut_is_made_again(whole, photographs, model, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    options = {'archive_size': IMAGES - 2, 'first_id': 11}
    monkeypatch.setattr(archive_pieces.Pieces, 'assemble', stop)
    with pytest.raises(KeyboardInterrupt):
        _write(photographs, model, tmp_path, **options)
    monkeypatch.undo()
    pieces = sorted((tmp_path / annotation_run.STAGING).glob('*.piece'))
    assert len(pieces) == 3
    pieces[1].write_bytes(pieces[1].read_bytes()[:-7])
    _write(photographs, model, tmp_path, **options)
    assert _digests(tmp_path) == _digests(whole[0])
    assert not list((tmp_path / annotation_run.STAGING).glob('*.piece'))


_KILLED = """
import json, sys
from segment_anything_tfds import annotate
paths, model, out, settings = sys.argv[1:]
settings = annotate.settings.get('default', **json.loads(settings))
annotate.write_archives(paths, model, out, settings=settings, first_id=11, archive_size=17)
"""


@pytest.mark.slow
def test_a_killed_process_loses_nothing(whole, photographs, model_file, tmp_path):
    assert IMAGES - 2 == 17
    given = [sys.executable, '-c', _KILLED, photographs, model_file, tmp_path, json.dumps(SETTINGS)]
    environment = {**os.environ, 'PYTHONPATH': str(REPO)}
    process = subprocess.Popen(given, env=environment)
    deadline = time.monotonic() + 300
    staging = tmp_path / annotation_run.STAGING
    while not list(staging.glob('*.0000.json')) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob('*.tar'))
    subprocess.run(given, env=environment, check=True, timeout=300)
    assert _digests(tmp_path) == _digests(whole[0])


# --- pictures that cannot be annotated -----------------------------------------------------------


@pytest.fixture
def mixed(tmp_path):
    """Good pictures, and each kind of bad one."""
    folder = tmp_path / 'mixed'
    folder.mkdir()
    for index in range(3):
        (folder / f'{index}.jpg').write_bytes(samples.jpeg(index))
    (folder / 'a.heic').write_bytes(b'\0\0\0\x18ftypheic')
    (folder / 'b.jpg').write_bytes(samples.jpeg(3)[:500])
    return folder


def test_a_bad_picture_stops_its_archive(mixed, model, tmp_path):
    (mixed / 'c.jpg').write_bytes(samples.jpeg(4))
    out = tmp_path / 'out'
    with pytest.raises(
        faults.DataError, match=r'(?s)a\.heic: expected a picture that .*skip'
    ) as error:
        _write(mixed, model, out, archive_size=3)
    assert [fault.reason for fault in error.value.faults] == ['picture_unknown']
    assert [path.name for path in out.glob('*.tar')] == ['sa_000000.tar']  # the others are made
    summary = _write(mixed, model, out, archive_size=3, on_error='skip')
    assert summary.reused == 1


def test_bad_pictures_are_left_out_and_named(mixed, model, tmp_path):
    out = tmp_path / 'out'
    (mixed / '1.jpg').chmod(0)
    summary = _write(mixed, model, out, on_error='skip')
    unreadable = not os.access(mixed / '1.jpg', os.R_OK)
    assert summary.left_out == {
        **({'picture_unreadable': 1} if unreadable else {}),
        'picture_unknown': 1,
        'picture_damaged': 1,
    }
    assert summary.images == 3 - unreadable
    named = {pathlib.Path(fault.member).name: fault.reason for fault in summary.skipped}
    assert named.items() >= {('a.heic', 'picture_unknown'), ('b.jpg', 'picture_damaged')}
    # Ids are those of the places in the folder, whatever is left out.
    assert [r.stem for r in _read(out)][:1] == ['sa_1']
    lines = (out / annotation_run.STAGING / 'sa_000000.faults.jsonl').read_text().splitlines()
    assert {pathlib.Path(json.loads(line)['member']).name for line in lines} >= {'a.heic', 'b.jpg'}


def test_the_command_names_bad_pictures(mixed, model_file, tmp_path, capsys):
    command = ['annotate', str(mixed), '--model', str(model_file), '--out', str(tmp_path / 'out')]
    arguments = [f'--{name}={value}' for name, value in SETTINGS.items()]
    assert main.main([*command, '--settings', 'default', *arguments, '--on_error', 'skip']) == 0
    shown = capsys.readouterr().err
    assert 'left out: 1 picture_unknown, 1 picture_damaged' in shown
    assert f'sa_000000 / {mixed}/a.heic: expected a picture that' in shown
    assert f'sa_000000 / {mixed}/b.jpg: ' in shown


def test_a_folder_of_bad_pictures(mixed, model, tmp_path):
    for path in mixed.glob('[0-9].jpg'):
        path.unlink()
    with pytest.raises(faults.DataError, match='1 of 1 archives could not be finished'):
        _write(mixed, model, tmp_path / 'out', on_error='skip')
    assert not list((tmp_path / 'out').glob('*.tar'))


def test_a_model_that_gives_no_numbers_is_a_fault_of_each_picture(photographs, tmp_path):
    broken = training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))
    head = broken.mask_decoder.iou_prediction_head.weights[-1]
    head.assign(np.full(head.shape, np.nan))
    with pytest.raises(faults.DataError, match=r'predicted IoUs; got nan.*\[masks_not_finite\]'):
        _write(photographs, broken, tmp_path)


# --- what is refused -----------------------------------------------------------------------------


def test_the_small_model_is_known_by_its_weights():
    """Another version of them makes other masks, whatever the package's version is."""
    path = pathlib.Path(tiny_sam.__file__).with_name(tiny_sam.FILE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert model_source.identity('tiny') == f'sha256 {digest}'


def test_archives_of_others_are_not_replaced(whole, photographs, model, tmp_path):
    (tmp_path / 'sa_000000.tar').write_bytes(b'somebody else')
    with pytest.raises(FileExistsError, match=r'without another sa_000000\.tar; got .* has one\.'):
        _write(photographs, model, tmp_path)
    assert (tmp_path / 'sa_000000.tar').read_bytes() == b'somebody else'
    _write(photographs, model, tmp_path, first_number=5)
    assert (tmp_path / 'sa_000005.tar').exists()
    before = _digests(whole[0])
    for changes in ({'settings': 'sa1b'}, {'short_side': 50}, {'first_id': 12}):
        options = {'archive_size': IMAGES - 2, 'first_id': 11, **changes}
        with pytest.raises(FileExistsError, match='one of other pictures, settings or weights'):
            _write(photographs, model, whole[0], **options)
    assert _digests(whole[0]) == before


@pytest.mark.parametrize(
    'options, message',
    [
        ({'archive_size': 0}, '`archive_size` from 1 to 1000000; got 0'),
        ({'first_id': -1}, '`first_id` from 0 to .*; got -1'),
        ({'first_number': 10**6}, '`first_number` from 0 to 999999; got 1000000'),
        ({'first_number': 999_999, 'archive_size': 5}, 'archives up to number 999999; got 1000002'),
        ({'on_error': 'ignore'}, "`on_error` to be 'fail' or 'skip'; got 'ignore'"),
        ({'settings': 'best'}, "`name` to be one of .*got 'best'"),
        ({'precision': 'half'}, "`precision` to be one of .*got 'half'"),
        ({'beam_runner': 'DirectRunner'}, '`model` to be a name, with Beam; got a Promptable'),
    ],
)
def test_wrong_arguments(photographs, model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _write(photographs, model, tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').glob('*.tar'))


def test_archives_do_not_lie_among_the_pictures(photographs, model):
    """A second run would annotate the archives of the first, and not go on with the pictures."""
    for out in (photographs, f'{photographs}/'):
        with pytest.raises(ValueError, match='`out` to be another folder than those of `paths`'):
            _write(photographs, model, out)
    assert not [*photographs.glob('sa_*'), *photographs.glob('.sa1b*')]


def test_archives_may_lie_in_a_folder_below_the_pictures(model, tmp_path):
    """What an earlier run has written there are no pictures, and make no archive of the folder."""
    for name in ('a.jpg', 'b.jpg'):
        (tmp_path / name).write_bytes(samples.jpeg(len(name)))
    (tmp_path / 'visa_2023.json').write_text('{}')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'page.jpg').write_bytes(samples.jpeg(1))
    for reused in (0, 2):
        found = _write(tmp_path, model, tmp_path / 'out', archive_size=1)
        assert (found.images, found.reused, len(found.archives)) == (2, reused, 2)
        assert found.passed_over == {'.json': 1}
    (tmp_path / 'out' / 'page.jpg').unlink()
    assert _write(tmp_path, model, tmp_path / 'elsewhere').images == 2


def test_archives_hold_compressed_rle_whatever_the_settings_say(model, tmp_path):
    """And numbers of NumPy's are as good as others."""
    (tmp_path / 'a.jpg').write_bytes(samples.jpeg(1))
    numbers = {**SETTINGS, 'points_per_side': np.int64(2), 'pred_iou_thresh': np.float32(0)}
    summaries = []
    for name, given in (('plain', SETTINGS), ('numpy', {**numbers, 'output_mode': 'binary_mask'})):
        settings = annotate.settings.get('default', **given)
        options = {'archive_size': np.int64(7), 'first_id': np.int64(1), 'max_side': np.int64(50)}
        _write(tmp_path / 'a.jpg', model, tmp_path / name, settings=settings, **options)
        summaries.append(_digests(tmp_path / name))
    assert summaries[0] == summaries[1]


def test_verify_knows_how_many_pictures_were_annotated(whole, tmp_path):
    """An archive of SA-1B holds 11,186."""
    reports = sa1b.verify(whole[0], progress=False)
    assert [report.state for report in reports] == ['good', 'good']
    shutil.copytree(whole[0], tmp_path / 'some')
    note = tmp_path / 'some' / annotation_run.STAGING / 'sa_000001.json'
    note.write_text(json.dumps({'counts': {'images': 3}}))
    (report,) = sa1b.verify(tmp_path / 'some', archives='1', progress=False)
    assert report.warnings == ['sa_000001: expected 3 pairs, as `sa1b annotate` wrote; got 2.']
    note.write_text('{')
    (report,) = sa1b.verify(tmp_path / 'some', archives='1', progress=False)
    assert 'expected 11,186 pairs' in report.warnings[0]


def test_wrong_paths(photographs, model, whole, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty' / 'a.txt').write_text('none')
    for paths, error, message in (
        ([tmp_path / 'nowhere'], FileNotFoundError, '`paths` that exist; got .*nowhere'),
        ([tmp_path / 'empty'], ValueError, r'pictures in .*empty; got none \(passed over: 1 .txt'),
        ([photographs, whole[0]], ValueError, 'either picture files or archives.*got both'),
    ):
        with pytest.raises(error, match=message):
            _write(paths, model, tmp_path / 'out')
    with pytest.raises(ValueError, match=r'no `first_id` with archives.*got 3'):
        _write(whole[0], model, tmp_path / 'out', first_id=3)


# --- archives and prepared data as pictures ------------------------------------------------------


def test_pictures_of_archives_keep_their_ids(model, tmp_path):
    samples.write_archives(tmp_path / 'archives', archives=2, images=3)
    summary = _write(tmp_path / 'archives', model, tmp_path / 'out')
    theirs, ours = (
        {r.stem: r.jpeg for r in _read(tmp_path / name)} for name in ('archives', 'out')
    )
    assert ours == theirs and summary.images == 6
    assert [pathlib.Path(path).name for path in summary.archives] == [
        'sa_000000.tar',
        'sa_000001.tar',
    ]


def test_pictures_of_prepared_data(model, tmp_path):
    samples.write_archives(tmp_path / 'archives', archives=2, images=3)
    building.build(tmp_path / 'archives', tmp_path / 'data')
    _write(tmp_path / 'data', model, tmp_path / 'out')
    theirs, ours = (
        {r.stem: r.jpeg for r in _read(tmp_path / name)} for name in ('archives', 'out')
    )
    assert ours == theirs


def test_single_files_and_limits(model, tmp_path):
    image = Image.open(io.BytesIO(samples.jpeg(0, 80, 120)))
    image.save(tmp_path / 'a.png')
    image.save(tmp_path / 'b.webp')
    paths = [tmp_path / 'b.webp', tmp_path / 'a.png', tmp_path / 'b.webp']
    _write(paths, model, tmp_path / 'out', short_side=40)
    found = _read(tmp_path / 'out')
    assert [record.stem for record in found] == ['sa_1', 'sa_2']  # each file once, in their order
    for record in found:
        assert record.json['image']['height'] == 40 and record.json['image']['width'] == 60


# --- the command ---------------------------------------------------------------------------------


def test_the_command(photographs, model_file, tmp_path, capsys, whole):
    arguments = [f'--{name}={value}' for name, value in SETTINGS.items()]
    command = ['annotate', str(photographs), '--model', str(model_file), '--settings', 'default']
    command += ['--out', str(tmp_path), '--first_id', '11', '--archive-size', str(IMAGES - 2)]
    assert main.main([*command, *arguments, '--preview', '--json']) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)['images'] == IMAGES
    assert '<html' in (tmp_path / 'preview.html').read_text()
    assert _digests(whole[0]).items() <= _digests(tmp_path).items()
    assert main.main([*command, *arguments, '--min_mask_region_area', '9']) == 2
    assert 'Choose another folder' in capsys.readouterr().err


@pytest.mark.parametrize(
    'given, message',
    [
        (['--settings', 'best'], "got 'best'"),
        (['--points_per_side', '0'], '`points_per_side` to be a whole number'),
        (['--use_m2m', 'perhaps'], "expected true or false; got 'perhaps'"),
        (['--model', 'nowhere.pth'], '`model` to be a file that exists; got nowhere.pth'),
    ],
)
def test_wrong_usage(photographs, tmp_path, capsys, given, message):
    command = ['annotate', str(photographs), '--model', 'tiny', '--out', str(tmp_path / 'out')]
    assert main.main([*command, *given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_nothing_is_said_but_what_is_wrong(tmp_path):
    code = (
        'from segment_anything_tfds.cli import main; import sys; sys.exit(main.main(sys.argv[1:]))'
    )
    command = ['annotate', tmp_path / 'nowhere', '--model', 'tiny', '--out', tmp_path / 'out']
    done = building.run_python(code, *command, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and 'expected `paths` that exist' in done.stderr
