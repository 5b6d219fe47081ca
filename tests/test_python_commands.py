"""What commands do, done from Python: the same options, and values that programs can use."""

import argparse
import dataclasses
import inspect
import io
import json
import operator
import pathlib

import building
import numpy as np
import pytest
from PIL import Image

import segment_anything_tfds as sa1b
from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange import options
from segment_anything_tfds.source import faults

DUMMY = building.REPO / 'dummy_data'
COMMANDS = tuple(name for name in main.COMMANDS if name != 'demo')
FUNCTIONS = {'import': 'import_data', 'annotate': 'annotate.write_archives'}  # else of that name
# Ways of talking to a terminal, and of talking to a program, have no counterpart.
ON_TERMINAL = {'json', 'traceback', 'help'}
IN_PYTHON = {'progress', 'on_fault', 'layout', 'settings', 'beam_runner'}
# What else a command alone has: `sa1b annotate --preview` calls `sa1b.preview` after it.
ALONE = {'annotate': {'preview'}}
# Defaults that a terminal writes in another way, or that are others on purpose.
OTHER_DEFAULTS = {
    ('verify', 'jobs'): (2, 1),
    ('evaluate', 'clicks'): ('1,2,3,5,9', (1, 2, 3, 5, 9)),
    ('predict', 'model'): (None, 'tiny'),  # the command says which one it took
}


def _options(command: str) -> dict[str, argparse.Action]:
    parser = main.make_parser([command])
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {action.dest: action for action in subparsers.choices[command]._actions}


def _parameters(command: str) -> dict[str, object]:
    """Names and defaults of the function's parameters, those that it passes on included."""
    function = operator.attrgetter(FUNCTIONS.get(command, command))(sa1b)
    parameters = inspect.signature(function).parameters
    named = {name: value.default for name, value in parameters.items() if name not in IN_PYTHON}
    passed_on = {'layout': options.Options, 'settings': sa1b.annotate.Settings}
    for name in passed_on.keys() & parameters.keys():
        for field in dataclasses.fields(passed_on[name]):
            named[field.name] = field.default if name == 'layout' else argparse.SUPPRESS
    if 'settings' in parameters:
        named['settings'] = parameters['settings'].default
        del named['point_grids'], named['output_mode']  # arrays, and what archives do not hold
    return named


@pytest.mark.parametrize('command', COMMANDS)
def test_command_and_function_have_the_same_options(command):
    of_function, of_command = _parameters(command), _options(command)
    assert set(of_command) - ON_TERMINAL - ALONE.get(command, set()) == set(of_function)
    for name, default in of_function.items():
        on_terminal = of_command[name].default
        if default is inspect.Parameter.empty:
            assert on_terminal is None, name
        elif default in ((), []):
            assert not on_terminal, name
        else:
            pair = OTHER_DEFAULTS.get((command, name), (default, default))
            assert (on_terminal, default) == pair, name


@pytest.mark.parametrize('name', sa1b.__all__)
def test_all_public_functions_are_annotated_and_documented(name):
    value = getattr(sa1b, name)
    assert name == '__version__' or value.__doc__
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, parameter


ROOMS = [sa1b.boxes, sa1b.coco_rle, sa1b.prompts, sa1b.rle, sa1b.transforms, sa1b.training]
ROOMS += [getattr(sa1b.training, name) for name in ('checkpoints', 'corrections', 'datasets')]
ROOMS += [getattr(sa1b.training, name) for name in ('evaluate', 'losses', 'metrics', 'recipes')]
# Those that a reader of their docstrings is not the user of: metrics and losses share them.
SHARED = {'candidates_of', 'check_masks', 'inside_of', 'mask_iou', 'mean_inside'}


def _functions(room) -> dict[str, object]:
    names = getattr(room, '__all__', None) or [name for name in vars(room) if name[0] != '_']
    found = {name: getattr(room, name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if inspect.isfunction(value) and value.__module__.startswith(sa1b.__name__)
    }


@pytest.mark.parametrize('room', ROOMS, ids=lambda room: room.__name__.rpartition('.')[2])
def test_functions_of_rooms_are_annotated_and_say_their_arguments(room):
    functions = _functions(room)
    assert functions
    for name, function in functions.items():
        signature = inspect.signature(function)
        annotations = [p.annotation for p in signature.parameters.values()]
        assert inspect.Signature.empty not in [*annotations, signature.return_annotation], name
        assert name in SHARED or not annotations or 'Args:' in function.__doc__, name


@pytest.mark.parametrize('room', ['boxes', 'prompts', 'rle', 'transforms', 'training.corrections'])
def test_functions_of_tensors_have_an_example(room):
    functions = _functions(operator.attrgetter(room)(sa1b))
    assert not [name for name, value in functions.items() if '>>> ' not in value.__doc__]


def test_dir_shows_public_names_alone():
    assert dir(sa1b) == sorted(sa1b.__all__)


def test_function_stays_where_a_room_has_its_name(tmp_path):
    """`export` is a folder of the package too, and importing from it puts it in that place."""
    import segment_anything_tfds.exchange.records  # noqa: F401

    assert sa1b.export(DUMMY, format='folders', out=tmp_path / 'a', limit=1, progress=None) == 1
    assert 'format' in inspect.signature(sa1b.export).parameters


@pytest.mark.parametrize('archives', ['0-1', '0+1', [1, 0], range(2)])
def test_records(archives):
    found = list(sa1b.records(DUMMY, archives=archives))
    assert len(found) == 10
    image = Image.open(io.BytesIO(found[0].jpeg))
    assert image.size == (found[0].json['image']['width'], found[0].json['image']['height'])


def test_records_are_filtered_limited_and_counted():
    seen = []
    found = list(sa1b.records([DUMMY], filter='area>=1000', limit=3, progress=seen.append))
    assert [step.done for step in seen] == [1, 2, 3] and seen[0].total == 3
    assert all(row['area'] >= 1000 for record in found for row in record.rows)


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        ({'archives': '3-1'}, 'expected ranges'),
        ({'archives': 9}, 'expected archives 9'),
        ({'filter': 'size>1'}, '--filter: .*expected rules'),
        ({'limit': 0}, '--limit: expected a whole number'),
        ({'on_error': 'ignore'}, '--on_error: expected one of fail, skip; got ignore'),
    ],
)
def test_arguments_are_refused_at_once(kwargs, match):
    with pytest.raises(ValueError, match=match):
        sa1b.records(DUMMY, **kwargs)


def test_verify_shows_its_progress_and_keeps_a_report(tmp_path):
    seen = []
    reports = sa1b.verify(
        DUMMY, archives='0', expected=0, report=tmp_path / 'a' / 'r.json', progress=seen.append
    )
    assert [report.state for report in reports] == ['good']
    assert seen[-1].done == (DUMMY / 'sa_000000.tar').stat().st_size == seen[-1].total
    assert json.loads((tmp_path / 'a' / 'r.json').read_text())[0]['pairs'] == reports[0].pairs


def test_verify_does_not_raise_for_bad_data(tmp_path):
    (tmp_path / 'sa_000007.tar').write_bytes((DUMMY / 'sa_000000.tar').read_bytes()[:50_000])
    (report,) = sa1b.verify(tmp_path, progress=None)
    assert report.state == 'bad' and 'archive_truncated' in report.faults
    with pytest.raises(faults.DataError):
        list(sa1b.records(tmp_path))


def test_evaluate_judges_other_annotations():
    found = sa1b.evaluate(DUMMY, against=DUMMY, filter='area>=1000', limit=2)
    assert found['masks']['mean_iou'] == 1.0 and found['masks']['images'] == 2
    with pytest.raises(ValueError, match=r'expected one of model, results, .*; got none'):
        sa1b.evaluate(DUMMY)
    with pytest.raises(TypeError, match='speed'):
        sa1b.evaluate(DUMMY, against=DUMMY, speed=2)


def test_download_wants_the_licence_accepted(tmp_path):
    (tmp_path / 'l.txt').write_text('sa_000020.tar\thttps://a.invalid/b')
    with pytest.raises(ValueError, match='pass accept_license=True'):
        sa1b.download(tmp_path / 'l.txt', to=tmp_path / 'to', archives=20)
    assert sa1b.links(tmp_path / 'l.txt', archives=20)['missing'] == ''


@pytest.mark.parametrize('make', ['show', 'preview'])
def test_picture_that_notebooks_show(tmp_path, make):
    if make == 'show':
        picture = sa1b.show(DUMMY, count=2, side=64)
    else:
        picture = sa1b.preview(DUMMY, limit=2, cell=64, png=tmp_path / 'same.png')
    pixels = np.asarray(picture)
    assert pixels.dtype == np.uint8 and pixels.shape == (*picture.size[::-1], 3)
    shown = Image.open(io.BytesIO(picture._repr_png_()))
    np.testing.assert_array_equal(np.asarray(shown), pixels)
    picture.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'a.png')), pixels)
    if make == 'preview':
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'same.png')), pixels)


def test_show_takes_records():
    found = sa1b.records(DUMMY, limit=2)
    np.testing.assert_array_equal(sa1b.show(found, side=64), sa1b.show(DUMMY, count=2, side=64))


def test_types_are_declared():
    assert (pathlib.Path(sa1b.__file__).parent / 'py.typed').is_file()
