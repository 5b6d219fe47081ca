"""The `sa1b` command: how it starts, what it says, and its exit codes."""

import argparse
import doctest
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import building
import fault_server
import numpy as np
import pytest
import samples
from PIL import Image

from segment_anything_tfds.actions import link_report
from segment_anything_tfds.cli import main, terminal
from segment_anything_tfds.report import dataset_stats
from segment_anything_tfds.source.remote import requesting

REPO = pathlib.Path(__file__).resolve().parent.parent
DUMMY_DATA = REPO / 'dummy_data'
HEAVY = ('tensorflow', 'tensorflow_datasets', 'apache_beam', 'keras', 'matplotlib', 'pandas')
LATER = ('numpy', 'requests', 'tqdm', 'etils')  # what help does not need either


def _run(capsys, *args):
    code = main.main([str(arg) for arg in args])
    return code, capsys.readouterr()


def _links_file(folder, text):
    (folder / 'links.txt').write_text(text)
    return folder / 'links.txt'


@pytest.mark.parametrize(
    'args',
    [
        ['--help'],
        ['links', 'FILE'],
        ['download', '--help'],
        ['verify', '--help'],
        ['verify', 'DATA'],
    ],
)
def test_starts_without_tensorflow(tmp_path, args):
    links = _links_file(tmp_path, f'sa_000020.tar\thttps://a.b/c?oe={fault_server.VALID_UNTIL:X}')
    heavy = HEAVY if args[-1] == 'DATA' else HEAVY + LATER
    args = [{'FILE': str(links), 'DATA': str(DUMMY_DATA)}.get(arg, arg) for arg in args]
    code = (
        'import sys\nfrom segment_anything_tfds.cli import main\n'
        f'code = main.main({args!r})\n'
        f'loaded = [name for name in {heavy!r} if name in sys.modules]\n'
        'sys.exit(f"loaded {loaded}" if loaded else code)'
    )
    environment = dict(os.environ, PYTHONPATH=str(REPO))
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('command', main.COMMANDS)
def test_help_of_each_command_teaches(command, capsys):
    code, printed = _run(capsys, command, '--help')
    assert code == 0 and f'sa1b {command}' in printed.out
    module = main._load(command)
    assert module.HELP.strip().splitlines()[0][0].islower(), 'the list of commands shows it'


@pytest.mark.parametrize('command', main.COMMANDS)
def test_help_says_defaults(command):
    parser = main.make_parser([command])
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for option in commands.choices[command]._actions:
        if option.option_strings and option.default not in (None, False, '', argparse.SUPPRESS):
            assert 'default' in option.help or option.default == [], option.option_strings


def test_help_lists_all_commands(capsys):
    code, printed = _run(capsys, '--help')
    assert code == 0 and 'exit codes: 0 done' in printed.out
    assert all(f'\n    {name} ' in printed.out for name in main.COMMANDS)


def test_version(capsys):
    code, printed = _run(capsys, '--version')
    assert code == 0 and printed.out.startswith('sa1b 1.')


def test_errors_are_red_on_a_terminal_only(monkeypatch, capsys):
    monkeypatch.delenv('NO_COLOR', raising=False)
    terminal.complain('wrong')
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    terminal.complain('wrong')
    monkeypatch.setenv('NO_COLOR', '1')
    terminal.complain('wrong')
    assert capsys.readouterr().err == 'wrong\n\x1b[31mwrong\x1b[0m\nwrong\n'


def test_a_line_is_one_write_so_that_threads_do_not_mix_theirs(monkeypatch):
    written = []
    monkeypatch.setattr(sys, 'stderr', argparse.Namespace(write=written.append, flush=lambda: None))
    terminal.say('sa_000020: from 0 B')
    assert written == ['sa_000020: from 0 B\n']


@pytest.mark.parametrize(
    'args',
    [
        [],
        ['unknown'],
        ['links'],
        ['links', 'a', '--wrong'],
        ['verify', 'a', '--expected', '-5'],
        ['export', 'a', '--format', 'archives', '--out', 'b', '--first_number', '9999999'],
    ],
)
def test_wrong_usage(capsys, args):
    code, printed = _run(capsys, *args)
    assert code == 2 and 'usage: sa1b' in printed.err


@pytest.mark.parametrize(
    ('error', 'code'),
    [
        (KeyboardInterrupt(), 130),
        (terminal.UsageError('x'), 2),
        (FileNotFoundError('x'), 2),
        (ValueError('x'), 1),
        (OSError('x'), 1),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code):
    def fail(args):
        raise error

    monkeypatch.setattr(main._load('links'), 'run', fail)
    assert _run(capsys, 'links', 'file')[0] == code


@pytest.mark.parametrize('args', [['links', 'a', '--limit-rate'], ['verify', '--on-error']])
def test_other_options_are_still_refused(args, capsys):
    assert _run(capsys, *args)[0] == 2


@pytest.mark.parametrize(
    ('arg', 'spelled'),
    [
        ('--limit-rate', '--limit_rate'),
        ('--on-error=a-b', '--on_error=a-b'),
        ('--accept_license', '--accept_license'),
        ('--json', '--json'),
        ('--', '--'),
        ('-h', '-h'),
        ('a-b', 'a-b'),
    ],
)
def test_words_of_options_are_joined_by_either(arg, spelled):
    assert main._spelled(arg) == spelled


def test_errors_of_the_program_itself_are_not_hidden(monkeypatch, capsys):
    monkeypatch.setattr(main._load('links'), 'run', lambda args: {}['mistake'])
    with pytest.raises(KeyError, match='mistake'):
        _run(capsys, 'links', 'file')


@pytest.mark.parametrize(
    ('name', 'extra'), [('matplotlib', 'report'), ('keras_hub', 'training'), ('numpy', None)]
)
def test_missing_packages_are_named_with_their_extra(monkeypatch, capsys, name, extra):
    def fail(args):
        raise ModuleNotFoundError(f'No module named {name!r}', name=name)

    monkeypatch.setattr(main._load('links'), 'run', fail)
    if extra is None:
        with pytest.raises(ModuleNotFoundError):
            _run(capsys, 'links', 'file')
        return
    code, printed = _run(capsys, 'links', 'file')
    assert code == 2 and f"pip install 'segment-anything-tfds[{extra}]'" in printed.err


def test_plots_are_refused_before_anything_is_counted(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    code, printed = _run(capsys, 'stats', DUMMY_DATA, '--png', 'x.png')
    assert code == 2 and 'segment-anything-tfds[report]' in printed.err


def test_errors_of_tensorflow_are_errors_of_the_data(monkeypatch, capsys):
    import tensorflow as tf

    def fail(args):
        raise tf.errors.DataLossError(None, None, 'corrupted record at 12')

    monkeypatch.setattr(main._load('links'), 'run', fail)
    code, printed = _run(capsys, 'links', 'file')
    assert code == 1 and printed.err == 'sa1b links: corrupted record at 12\n'


@pytest.mark.parametrize(('command', 'goes_on'), [('download', True), ('verify', False)])
def test_interrupt_promises_only_what_holds(monkeypatch, capsys, command, goes_on):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(main._load(command), 'run', interrupt)
    code, printed = _run(capsys, command, 'x')
    assert code == 130 and ('goes on from here' in printed.err) == goes_on


def _start(*args, encoding='utf-8:strict'):
    environment = dict(os.environ, PYTHONPATH=str(REPO), PYTHONIOENCODING=encoding)
    command = [sys.executable, '-m', 'segment_anything_tfds', *map(os.fspath, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def _interrupt_while_it_reads(process, fifo):
    """The first archive is a pipe: the command waits in it until the test says how to go on."""
    with open(fifo, 'wb') as file:  # opened once the command reads from it
        file.write(b'\x1f\x8b\x08')
        file.flush()
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    return out.decode(), error.decode()


@pytest.mark.parametrize(
    'args',
    [
        ['export', 'IN', '--format', 'folders', '--out', 'OUT'],
        ['preview', 'IN', '--png', 'OUT'],
        ['stats', 'IN'],
        ['evaluate', 'IN', '--against', 'IN'],
    ],
)
def test_interrupt_ends_quietly(tmp_path, args):
    fifo, out = tmp_path / 'sa_000020.tar', tmp_path / 'out'
    os.mkfifo(fifo)
    places = {'IN': fifo, 'OUT': out}
    process = _start(*(places.get(arg, arg) for arg in args))
    printed, error = _interrupt_while_it_reads(process, fifo)
    assert process.returncode == 130 and printed == ''
    assert error.splitlines()[-1] == 'interrupted' and 'Traceback' not in error
    assert not out.exists() and not out.with_name('out.incomplete').exists()


def test_closed_pipe_is_no_error(tmp_path):
    rows = [f'sa_{n:06d}.tar\thttps://a.b/c?oe=7F000000' for n in range(1000)]
    links = _links_file(tmp_path, '\n'.join(rows))
    command = f'{sys.executable} -m segment_anything_tfds links {links} --json | head -c 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=REPO)
    assert done.stdout == '{' and 'Error' not in done.stderr


def test_docstring_examples():
    result = doctest.testmod(terminal)
    assert result.attempted and not result.failed


@pytest.mark.parametrize(
    ('size', 'text'),
    [(0, '0 B'), (999, '999 B'), (1000, '1.0 kB'), (99_400, '99.4 kB'), (99_600, '100 kB')]
    + [(999_600, '1.0 MB'), (11_300_000_000, '11.3 GB'), (1.03e13, '10.3 TB'), (5e16, '50000 TB')],
)
def test_human_bytes(size, text):
    assert terminal.human_bytes(size) == text


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.2, '0 seconds'), (61, '1 minute 1 second'), (3600, '1 hour'), (-259_200, '3 days')],
)
def test_human_time(seconds, text):
    assert terminal.human_time(seconds) == text


@pytest.mark.parametrize('text', ['', 'M', '5X', '-1', '0', 'nan', 'inf', '1e999'])
def test_parse_bytes_refuses_other_things(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'expected a size such as 50M'):
        terminal.parse_bytes(text)


@pytest.mark.parametrize('command', ['preview', 'verify', 'stats'])
def test_malformed_archives(command, capsys):
    code, printed = _run(capsys, command, DUMMY_DATA, '--archives', '3-1', *_needed(command))
    assert code == 2 and '--archives: `selection.parse`: expected' in printed.err
    code, printed = _run(capsys, command, DUMMY_DATA, '--archives', '7', *_needed(command))
    assert code == 2 and 'expected archives 7 in' in printed.err


def _needed(command):
    return ['--png', 'x.png'] if command == 'preview' else []


# links


def test_links_describes_a_file(tmp_path, capsys):
    soon, late = int(time.time()) + 3 * 86400 + 60, int(time.time()) + 4 * 86400
    text = (
        f'file_name\tcdn_link\nsa_000021.tar\thttps://a.b/c?oh=00_{fault_server.SECRET}&oe={late:X}\n'
        f'sa_images_ids.txt\thttps://a.b/i\nsa_000020.tar\thttps://a.b/d?oe={soon:x}'
    )
    code, printed = _run(capsys, 'links', _links_file(tmp_path, text))
    assert code == 0
    lines = dict(line.split('  ', 1) for line in printed.out.splitlines())
    lines = {key: value.strip() for key, value in lines.items()}
    assert lines['archives'] == '2: 20-21' and lines['missing'] == '0-19+22-999'
    assert lines['other rows'] == 'sa_images_ids.txt' and lines['expiry'].startswith('in 3 days')
    code, printed = _run(capsys, 'links', tmp_path / 'links.txt', '--json', '--archives', '21')
    found = json.loads(printed.out)
    assert found['archives'] == 1 and found['other_rows'] == [
        {'line': 3, 'name': 'sa_images_ids.txt'}
    ]
    assert fault_server.SECRET not in printed.out


def test_links_that_expired(tmp_path, capsys):
    ago = int(time.time()) - 3 * 86400 - 60
    links = _links_file(tmp_path, f'sa_000020.tar\thttps://a.b/d?oe={ago:x}')
    code, printed = _run(capsys, 'links', links)
    assert code == 1 and '1 of 1 expired, the first 3 days' in printed.out
    assert 'Get a new links file from https://ai.meta.com' in printed.out


def test_links_asks_for_sizes(tmp_path, capsys):
    with fault_server.FaultServer() as server:
        rows = [f'sa_{n:06d}.tar\t{server.serve(f"a{n}", bytes(1000 * n))}' for n in (1, 2)]
        rows.append(f'sa_000003.tar\t{server.url("none")}')
        code, printed = _run(capsys, 'links', _links_file(tmp_path, '\n'.join(rows)), '--sizes')
        assert code == 0 and '3.0 kB in 2 archives' in printed.out
        assert 'the first is sa_000003' in printed.out and 'status 404' in printed.out
        assert fault_server.SECRET not in printed.out


def test_links_ask_a_dead_server_for_a_few_sizes_only(tmp_path, capsys, monkeypatch):
    asked = []
    real = requesting.head
    monkeypatch.setattr(requesting, 'head', lambda url, **kw: asked.append(1) or real(url, **kw))
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))  # nobody listens there, and nobody else can
        url = f'http://127.0.0.1:{closed.getsockname()[1]}/a?oh={fault_server.SECRET}'
        rows = '\n'.join(f'sa_{n:06d}.tar\t{url}' for n in range(200))
        code, printed = _run(capsys, 'links', _links_file(tmp_path, rows), '--sizes')
    assert code == 0 and '0 B in 0 archives' in printed.out
    assert '200 of unknown size' in printed.out and 'Connection refused' in printed.out
    assert len(asked) < 60 and fault_server.SECRET not in printed.out


@pytest.mark.parametrize(
    ('text', 'message'),
    [('', 'got an empty file'), ('<html>', 'a web page'), ('sa_000001.tar a b', 'got 3')],
)
def test_links_that_are_none(tmp_path, capsys, text, message):
    code, printed = _run(capsys, 'links', _links_file(tmp_path, text))
    assert code == 2 and message in printed.err


# preview and stats


def test_preview_draws_one_image(tmp_path, capsys):
    samples.write_archives(tmp_path, 1)
    args = [tmp_path, '--image', '3', '--png', tmp_path / 'a.png']
    assert _run(capsys, 'preview', *args, '--boxes', '--points', '--scores')[0] == 0
    decorated = np.asarray(Image.open(tmp_path / 'a.png'))
    assert _run(capsys, 'preview', *args)[0] == 0
    plain = np.asarray(Image.open(tmp_path / 'a.png'))
    assert plain.shape == decorated.shape == (samples.HEIGHT, samples.WIDTH, 3)
    assert (plain != decorated).any()


def test_preview_of_a_prepared_dataset(tmp_path, capsys):
    samples.write_archives(tmp_path / 'archives', 1)
    building.build(tmp_path / 'archives', tmp_path / 'prepared')
    code, printed = _run(capsys, 'verify', tmp_path / 'prepared')
    assert code == 2 and 'got a prepared dataset' in printed.err
    png, html = tmp_path / 'new' / 'a.png', tmp_path / 'new' / 'a.html'
    args = [tmp_path / 'prepared', '--png', png, '--html', html, '--limit', '3', '--cell', '100']
    code, printed = _run(capsys, 'preview', *args)
    assert code == 0 and f'written: {html}' in printed.err
    assert Image.open(png).width == 12 + 2 * 112 and html.read_text().count('"thumbnail"') == 3


def test_preview_refuses(tmp_path, capsys):
    samples.write_archives(tmp_path, 1)
    assert _run(capsys, 'preview', tmp_path)[0] == 2
    code, printed = _run(capsys, 'preview', tmp_path, '--png', 'x.png', '--image', 'sa_99.jpg')
    assert code == 1 and 'expected sa_99 in' in printed.err


def test_stats_of_archives_and_of_shards_agree(tmp_path, capsys):
    samples.write_archives(tmp_path / 'archives', 2)
    building.build(tmp_path / 'archives', tmp_path / 'prepared')
    capsys.readouterr()
    code, printed = _run(capsys, 'stats', tmp_path / 'archives', '--json')
    assert code == 0
    of_archives = json.loads(printed.out)
    assert of_archives['images'] == 8 and of_archives['masks'] == 24
    code, printed = _run(
        capsys, 'stats', tmp_path / 'prepared', '--out', tmp_path / 'b.json', '--archives', '1'
    )
    assert (
        code == 0 and '4 images, 12 masks (3.0 an image, 0 empty, 0 without scores)' in printed.out
    )
    args = ['stats', tmp_path / 'archives', '--archives', '0', '--merge', tmp_path / 'b.json']
    code, printed = _run(capsys, *args, '--json', '--out', tmp_path / 'c.json')
    merged = json.loads(printed.out)
    assert code == 0 and merged == json.loads((tmp_path / 'c.json').read_text())
    for name in ('centers', 'masks_per_image', 'image_sizes'):
        assert merged[name] == of_archives[name]
    for name in ('relative_size', 'concavity'):
        assert merged[name]['counts'] == of_archives[name]['counts']
        assert merged[name]['mean'] == pytest.approx(of_archives[name]['mean'])


def test_stats_writes_plots_and_counts_faults(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    files = samples.members(1, 3)
    files['./sa_2.json'] = b'{'
    samples.write_archive(tmp_path / 'sa_000000.tar', files)
    args = ['stats', tmp_path, '--png', tmp_path / 'a.png', '--html', tmp_path / 'a.html']
    code, printed = _run(capsys, *args)
    assert code == 1 and 'sa_000000 / sa_2.json: expected JSON' in printed.err
    code, printed = _run(capsys, *args, '--on_error', 'skip')
    assert code == 0 and 'left out: 1 json_invalid' in printed.out
    assert Image.open(tmp_path / 'a.png').width > 1000
    assert '<b>2</b>images' in (tmp_path / 'a.html').read_text()


def test_image_counts_more_than_limit(tmp_path, capsys):
    samples.write_archives(tmp_path, 1)
    args = ['--image', '3', '--image', '4', '--limit', '1', '--png', tmp_path / 'a.png']
    code, printed = _run(capsys, 'preview', tmp_path, *args)
    assert code == 0 and f'written: {tmp_path / "a.png"}' in printed.err
    assert Image.open(tmp_path / 'a.png').width == 12 + 2 * 524


@pytest.mark.skipif(sys.platform != 'linux', reason='file names are bytes on Linux')
@pytest.mark.parametrize(
    'args', [['verify', '--json'], ['verify'], ['stats', '--html'], ['preview', '--html']]
)
def test_file_names_that_are_no_unicode(tmp_path, args):
    name = os.fsencode(tmp_path) + b'/caf\xe9.tar'
    with open(name, 'wb') as file:
        file.write((DUMMY_DATA / 'sa_000000.tar').read_bytes())
    page = [tmp_path / 'page.html'] if args[-1] == '--html' else []
    process = _start(args[0], name, *args[1:], *page)
    out, error = process.communicate()
    assert process.returncode == 0, error
    if args == ['verify', '--json']:
        assert json.loads(out)[0]['archive'] == 'caf\udce9'
    assert not page or '<html' in page[0].read_text('utf-8')


@pytest.mark.skipif(sys.platform != 'linux', reason='file names are bytes on Linux')
def test_digests_of_file_names_that_are_no_unicode(tmp_path, capsys):
    name = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9.tar')
    pathlib.Path(name).write_bytes((DUMMY_DATA / 'sa_000000.tar').read_bytes())
    record = tmp_path / 'mine.md5'
    assert _run(capsys, 'verify', name, '--record', record)[0] == 0
    assert record.read_bytes().endswith(b'  caf\xe9.tar\n')
    code, printed = _run(capsys, 'verify', name, '--digests', record, '--json')
    assert code == 0 and json.loads(printed.out)[0]['digest'] == 'match'


def test_merge_names_the_file(tmp_path, capsys):
    for text in ('{', '{"images": 1}'):
        (tmp_path / 'part.json').write_text(text)
        code, printed = _run(capsys, 'stats', '--merge', tmp_path / 'part.json')
        assert code == 1 and f'writes in {tmp_path / "part.json"}; got' in printed.err


@pytest.mark.parametrize('command', ['links', 'download', 'verify', 'preview --png a.png', 'stats'])
def test_urls_are_refused_without_being_shown(capsys, command):
    command, *options = command.split()
    code, printed = _run(capsys, command, 'https://127.0.0.1:9/x.tar?oh=secret', *options)
    assert code == 2 and 'to be local, or in a bucket, such as gs://; got https://.' in printed.err
    assert 'secret' not in printed.err


def test_stats_needs_something(capsys):
    code, printed = _run(capsys, 'stats')
    assert code == 2 and 'expected PATH or --merge FILE; got neither' in printed.err


def test_traceback_is_shown_on_request(tmp_path, capsys):
    (tmp_path / 'links.txt').write_text('nothing of the kind')
    assert _run(capsys, 'links', tmp_path / 'links.txt')[0] == 2
    with pytest.raises(ValueError, match='expected'):
        main.main(['links', str(tmp_path / 'links.txt'), '--traceback'])


def test_own_mistakes_keep_their_traceback(monkeypatch):
    """Those of the data and of arguments are explained in words of ours."""

    def links(*args, **kwargs):
        return np.zeros(2) + np.zeros(3)

    monkeypatch.setattr(link_report, 'links', links)
    monkeypatch.setattr(main, '_PACKAGE', REPO)  # as if the line above stood in the package
    with pytest.raises(ValueError, match='broadcast'):
        main.main(['links', 'links.txt'])


@pytest.mark.parametrize('name', ['images', 'units', 'faults'])
def test_merged_statistics_with_a_null_are_refused(tmp_path, capsys, name):
    content = dataset_stats.Statistics().to_json()
    content[name] = {'json_invalid': None} if name == 'faults' else None
    (tmp_path / 'stats.json').write_text(json.dumps(content))
    code, printed = _run(capsys, 'stats', '--merge', tmp_path / 'stats.json')
    assert code == 1 and '--merge: expected what `sa1b stats --out` writes' in printed.err


@pytest.mark.parametrize(
    'args',
    [
        ['download', 'LINKS', '--to'],
        ['export', 'DATA', '--format', 'coco', '--out'],
        ['import', 'DATA', '--format', 'coco', '--out'],
        ['verify', 'DATA', '--record'],
    ],
)
def test_folders_in_buckets_are_refused(tmp_path, capsys, monkeypatch, args):
    links = _links_file(tmp_path, f'sa_000020.tar\thttps://a.b/c?oe={fault_server.VALID_UNTIL:X}')
    args = [{'LINKS': links, 'DATA': DUMMY_DATA}.get(arg, arg) for arg in args]
    monkeypatch.chdir(tmp_path)
    code, printed = _run(capsys, *args, 's3://bucket/folder')
    assert code == 2 and 'expected a folder on this computer; got s3://bucket' in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ['links.txt']


@pytest.mark.parametrize('command', ['stats', 'preview --png a.png', 'verify', 'export --out o'])
def test_data_in_buckets_that_tensorflow_does_not_know(tmp_path, capsys, monkeypatch, command):
    """The setting that helps is named."""
    monkeypatch.delenv('EPATH_USE_TF', raising=False)
    monkeypatch.chdir(tmp_path)
    command, *options = command.split()
    options += ['--format', 'coco'] if command == 'export' else []
    code, printed = _run(capsys, command, 's3://bucket/data', *options)
    assert code == 2 and 's3://bucket/data' in printed.err
    assert 'Set EPATH_USE_TF=false' in printed.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'args',
    [
        ['annotate', 'PICTURE', '--model', 'tiny', '--out'],
        ['demo', '--out'],
        ['demo', '--data_dir'],
        ['evaluate', 'DATA', '--model', 'tiny', '--plot'],
        ['predict', 'PICTURE', '--model', 'tiny', '--point', '3,3', '--png'],
        ['preview', 'DATA', '--html'],
        ['preview', 'DATA', '--png'],
        ['stats', 'DATA', '--out'],
        ['stats', 'DATA', '--html'],
        ['verify', 'DATA', '--report'],
    ],
    ids=' '.join,
)
@pytest.mark.parametrize(
    ('place', 'text'),
    [
        ('s3://bucket/a.png', 'Set EPATH_USE_TF=false'),
        ('s3:/bucket/a.png', 'expected `path` to be local, or a URL with two slashes; got one'),
        ('https://a.b/c.png?oh=secret', 'or in a bucket, such as gs://; got https://.'),
        ('file:///a.png', 'or in a bucket, such as gs://; got file://.'),
    ],
)
def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path, capsys, monkeypatch, args, place, text
):
    """Above all, no folder `s3:` is made here."""
    picture = tmp_path / 'picture.jpg'
    picture.write_bytes(samples.jpeg(1))
    args = [{'PICTURE': picture, 'DATA': DUMMY_DATA}.get(arg, arg) for arg in args]
    monkeypatch.chdir(tmp_path)
    code, printed = _run(capsys, *args, place)
    assert code == 2 and text in printed.err and 'secret' not in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ['picture.jpg']


def test_links_miss_only_what_was_asked_for(tmp_path, capsys):
    links = _links_file(tmp_path, f'sa_000020.tar\thttps://a.b/c?oe={fault_server.VALID_UNTIL:X}')
    code, printed = _run(capsys, 'links', links, '--archives', '20', '--json')
    assert code == 0 and json.loads(printed.out)['missing'] == ''


def test_licence_with_standard_input_closed(tmp_path, capsys, monkeypatch):
    links = _links_file(tmp_path, f'sa_000020.tar\thttps://a.b/c?oe={fault_server.VALID_UNTIL:X}')
    monkeypatch.setattr(sys, 'stdin', None)
    code, printed = _run(capsys, 'download', links, '--to', tmp_path / 'to')
    assert code == 2 and 'got no terminal to ask' in printed.err


_QUIETLY = """
import importlib.abc, json, sys
from segment_anything_tfds.cli import main, quiet

class Loud(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        assert name != 'tensorflow', 'its chatter would be shown'

class Quiet(BaseException):
    pass

def import_quietly():
    raise Quiet

sys.meta_path.insert(0, Loud())
quiet.import_tensorflow = import_quietly
for args in json.loads(sys.argv[1]):
    try:
        sys.exit(f'{args} returned {main.main(args)}')
    except Quiet:
        pass
"""


def test_commands_import_tensorflow_quietly(tmp_path):
    """Those that need it, before anything else of theirs imports it."""
    samples.write_archives(tmp_path, 1)
    building.build(tmp_path, tmp_path / 'prepared')
    (tmp_path / 'picture.jpg').write_bytes(samples.jpeg(1))
    picture, archive, prepared, out = (
        str(tmp_path / name) for name in ('picture.jpg', 'sa_000000.tar', 'prepared', 'out')
    )
    commands = [
        ['demo'],
        ['predict', picture, '--point', '3,3'],
        ['annotate', picture, '--model', 'tiny', '--out', out],
        ['preview', prepared, '--png', f'{out}.png'],
        ['stats', prepared],
        ['export', prepared, '--format', 'coco', '--out', out],
        ['evaluate', prepared, '--model', 'tiny'],
        ['evaluate', archive, '--against', archive],
    ]
    building.run_python(_QUIETLY, json.dumps(commands))


def test_chatter_of_tensorflow_is_hidden_and_errors_are_not():
    code = """
import os
from segment_anything_tfds.cli import quiet
with quiet._without_chatter():
    os.write(2, b'E0000 00:00:1 7 a.cc:1] no memory\\nI0000 00:00:1 7 b.cc:1] all is on\\n')
quiet.import_tensorflow()
os.write(2, b'after\\n')
"""
    done = building.run_python(code)
    assert done.stderr.splitlines() == ['E0000 00:00:1 7 a.cc:1] no memory', 'after']
