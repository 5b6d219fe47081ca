"""`sa1b download` against a real server that cuts, refuses and changes."""

import dataclasses
import errno
import hashlib
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import fault_server
import pytest
import samples

from segment_anything_tfds.actions import licence
from segment_anything_tfds.cli import main
from segment_anything_tfds.source.archive import extract, inputs
from segment_anything_tfds.source.remote import downloader, fetch, links_file, part

REPO = pathlib.Path(__file__).resolve().parent.parent
HASTY = fetch.Patience(attempts=4, first_delay=0.01, longest_delay=0.02, read_timeout=5)


@pytest.fixture
def server():
    with fault_server.FaultServer() as server:
        yield server


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    """A real archive of some hundred kilobytes, as bytes."""
    path = tmp_path_factory.mktemp('source') / 'sa_000020.tar'
    files = samples.members(1, 6)
    files['./filler'] = random.Random(0).randbytes(1_500_000)
    samples.write_archive(path, files)
    return path.read_bytes()


def _link(url, number=20):
    return links_file.Link(number, url, 1)


def _download(url, folder, **kwargs):
    return downloader.download(_link(url), folder, patience=HASTY, **kwargs)


def _leave_part(folder, body, remote):
    """What a killed run leaves: a part, and the note about it."""
    (folder / '.sa1b').mkdir(parents=True, exist_ok=True)
    (folder / 'sa_000020.tar.part').write_bytes(body)
    note = json.dumps(dataclasses.asdict(remote))
    (folder / '.sa1b' / 'sa_000020.json').write_text(note)


def _is_whole(folder, body, name='sa_000020'):
    left = [path.name for path in folder.iterdir() if '.part' in path.name]
    return (folder / f'{name}.tar').read_bytes() == body and not left


def test_download_arrives_whole_through_cuts(server, archive, tmp_path):
    url = server.serve('a', archive, cuts=[100_000, 300_001, 0, 5])
    seen = []
    patience = dataclasses.replace(HASTY, read_timeout=60)  # a machine that stalls cuts no line
    done = downloader.download(_link(url), tmp_path, patience=patience, on_bytes=seen.append)
    assert _is_whole(tmp_path, archive)
    assert done.md5 == hashlib.md5(archive).hexdigest() and done.retries == 4
    assert sum(seen) == done.size == len(archive)
    assert server.sent('a') <= len(archive) * 1.02


def test_download_goes_on_where_a_killed_run_stopped(server, archive, tmp_path):
    url = server.serve('a', archive)
    _leave_part(tmp_path, archive[:900_000], fetch.Remote(len(archive), '"v1"'))
    seen = []
    done = _download(url, tmp_path, on_bytes=seen.append)
    assert _is_whole(tmp_path, archive) and done.md5 == hashlib.md5(archive).hexdigest()
    assert server.sent('a') == len(archive) - 900_000 + downloader.OVERLAP
    assert sum(seen) == len(archive) and not done.restarted


def test_renewed_link_with_another_tag_goes_on(server, archive, tmp_path):
    url = server.serve('a', archive, etag='"other"', modified=None)
    _leave_part(tmp_path, archive[:900_000], fetch.Remote(len(archive), '"v1"'))
    done = _download(url, tmp_path)
    assert _is_whole(tmp_path, archive) and not done.restarted
    assert done.fetched == len(archive) - 900_000 + downloader.OVERLAP


@pytest.mark.parametrize('size', [900_000, 10])
def test_part_of_another_object_is_fetched_again(server, archive, tmp_path, size):
    url = server.serve('a', archive, etag='"other"')
    _leave_part(tmp_path, os.urandom(size), fetch.Remote(len(archive), '"v1"'))
    seen = []
    done = _download(url, tmp_path, on_bytes=seen.append)
    assert _is_whole(tmp_path, archive) and 'other bytes' in done.restarted
    assert done.md5 == hashlib.md5(archive).hexdigest() and sum(seen) == len(archive)


def test_part_of_an_object_of_another_size_is_fetched_again(server, archive, tmp_path):
    url = server.serve('a', archive)
    _leave_part(tmp_path, archive + b'more', fetch.Remote(len(archive) + 4, '"v0"'))
    assert _download(url, tmp_path).restarted
    assert _is_whole(tmp_path, archive)


def test_part_without_a_note_counts_for_nothing(server, archive, tmp_path):
    url = server.serve('a', archive)
    (tmp_path / 'sa_000020.tar.part').write_bytes(b'from somewhere')
    _download(url, tmp_path)
    assert _is_whole(tmp_path, archive)


def test_whole_part_that_only_lacks_its_name(server, archive, tmp_path):
    url = server.serve('a', archive)
    _leave_part(tmp_path, archive, fetch.Remote(len(archive), '"v1"'))
    _download(url, tmp_path)
    assert _is_whole(tmp_path, archive) and server.sent('a') == downloader.OVERLAP


@pytest.mark.parametrize('cut', [1, 1_000, 65_535])
def test_part_stays_where_the_line_breaks_for_good(server, archive, tmp_path, cut):
    """What comes to an end too soon while it is compared is no other object."""
    remote = fetch.Remote(len(archive), '"v1"')
    _leave_part(tmp_path, archive[:1_200_000], remote)
    url = server.serve('a', archive, cut_every=(cut, cut))
    with pytest.raises(fetch.FetchError, match=r'broken connection|was cut') as caught:
        _download(url, tmp_path)
    assert caught.value.reason == 'unreachable' and '_OtherBytes' not in str(caught.value)
    left = (tmp_path / 'sa_000020.tar.part').read_bytes()
    assert len(left) >= 1_200_000 and archive.startswith(left)
    server.objects['a'].cut_every = None
    assert not _download(url, tmp_path).restarted
    assert _is_whole(tmp_path, archive)


def test_part_stays_where_the_download_is_stopped_soon(server, archive, tmp_path):
    _leave_part(tmp_path, archive[:1_200_000], fetch.Remote(len(archive), '"v1"'))
    url = server.serve('a', archive, rate=20_000)
    stop = downloader.Stop()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    with pytest.raises(fetch.FetchError) as caught:
        _download(url, tmp_path, stop=stop)
    assert caught.value.reason == 'stopped' and 0 < server.sent('a') < downloader.OVERLAP
    assert (tmp_path / 'sa_000020.tar.part').read_bytes() == archive[:1_200_000]


@pytest.mark.parametrize('answer', [b'{"error": "slow down"}' * 30, fault_server.PAGE])
def test_part_stays_where_something_else_is_served(server, archive, tmp_path, answer):
    """Even with an answer that says of itself that all is well."""
    _leave_part(tmp_path, archive[:1_200_000], fetch.Remote(len(archive), '"v1"'))
    url = server.serve('a', answer, etag='"other"')
    with pytest.raises(fetch.FetchError, match=r'web page|expected a tar'):
        _download(url, tmp_path)
    assert (tmp_path / 'sa_000020.tar.part').read_bytes() == archive[:1_200_000]


@pytest.mark.parametrize('gzip', [True, False])
def test_line_that_breaks_within_the_first_bytes(server, tmp_path, gzip):
    """A header of a plain tar that came in part is none of a web page."""
    samples.write_archive(tmp_path / 'a.tar', samples.members(1, 3), gzip=gzip)
    url = server.serve('a', (tmp_path / 'a.tar').read_bytes(), cut_every=(1, 100))
    with pytest.raises(fetch.FetchError) as caught:
        _download(url, tmp_path / 'to')
    assert caught.value.reason == 'unreachable'


@pytest.mark.parametrize('ranges', [True, False])
@pytest.mark.parametrize('gzip', [True, False])
def test_body_of_unknown_length_that_is_cut(server, tmp_path, gzip, ranges):
    (tmp_path / 'to').mkdir()
    samples.write_archive(tmp_path / 'a.tar', samples.members(1, 12), gzip=gzip)
    body = (tmp_path / 'a.tar').read_bytes()
    half = len(body) // 2
    url = server.serve('a', body, endless=True, ranges=ranges, cuts=[half])
    _download(url, tmp_path / 'to')
    assert _is_whole(tmp_path / 'to', body)
    # Cut at the same byte each time, it is never taken for whole.
    url = server.serve('b', body[:half], endless=True, ranges=False)
    with pytest.raises(fetch.FetchError, match='a body that was cut') as caught:
        downloader.download(_link(url, 21), tmp_path / 'to', patience=HASTY)
    assert caught.value.reason == 'unreachable'
    assert not (tmp_path / 'to' / 'sa_000021.tar').exists()
    assert (tmp_path / 'to' / 'sa_000021.tar.part').read_bytes() == body[:half]


def test_server_without_ranges(server, archive, tmp_path):
    url = server.serve('a', archive, ranges=False, cuts=[500_000])
    _download(url, tmp_path)
    assert _is_whole(tmp_path, archive)


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        (fault_server.PAGE, 'web page: "Sorry Log in first"'),
        (b'{"error": 7}' * 100, r"expected a tar, plain or gzip, .* begin b'\{\"error"),
        (b'', 'got an empty file'),
    ],
)
def test_what_is_no_archive_is_refused(server, tmp_path, body, message):
    with pytest.raises(fetch.FetchError, match=message):
        _download(server.serve('a', body), tmp_path)
    assert not (tmp_path / 'sa_000020.tar').exists()


def test_two_processes_do_not_share_a_part(server, archive, tmp_path):
    url = server.serve('a', archive)
    (tmp_path / '.sa1b').mkdir()
    with (
        part.opened(tmp_path, 'sa_000020'),
        pytest.raises(OSError, match=r'download`: expected sa_000020 for this process alone; got'),
    ):
        _download(url, tmp_path)


@pytest.mark.parametrize('code', [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks(server, archive, tmp_path, monkeypatch, code):
    """As Lustre and NFS may be."""

    def flock(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr('fcntl.flock', flock)
    _download(server.serve('a', archive), tmp_path)
    assert _is_whole(tmp_path, archive)
    assert not list((tmp_path / '.sa1b').iterdir())


def test_pace_limits_all_threads_together():
    waits = []
    stop = downloader.Stop()
    stop.wait = waits.append  # the clock hardly moves
    pace = downloader.Pace(1_000, stop)
    for _ in range(5):
        pace.take(40_000)
    assert waits[0] <= 40 and waits[-1] <= 200  # 40 s each, less what went by meanwhile
    assert all(later > earlier for earlier, later in itertools.pairwise(waits))


# The command.


@pytest.fixture
def site(server, archive, tmp_path):
    """A links file for three archives, and where they go."""
    bodies = {f'sa_{n:06d}.tar': archive + bytes(512 * n) for n in (20, 21, 22)}
    for name, body in bodies.items():
        server.serve(name, body)
    return _Site(server, bodies, tmp_path / 'links.txt', tmp_path / 'to')


@dataclasses.dataclass
class _Site:
    server: fault_server.FaultServer
    bodies: dict
    links: pathlib.Path
    to: pathlib.Path

    def write_links(self, **kwargs):
        rows = [f'{name}\t{self.server.url(name, **kwargs)}' for name in self.bodies]
        self.links.write_text('\n'.join(['file_name\tcdn_link', *rows]))

    def run(self, *args):
        if not self.links.exists():
            self.write_links()
        fixed = ['download', str(self.links), '--to', str(self.to), '--accept-license']
        return main.main([*fixed, *args])

    def whole(self):
        return [n[:-4] for n, body in self.bodies.items() if self.has(n, body)]

    def has(self, name, body):
        path = self.to / name
        return path.exists() and path.read_bytes() == body


def test_command_downloads_a_selection_and_then_the_rest(site, capsys):
    assert site.run('--archives', '21') == 0
    assert site.whole() == ['sa_000021']
    assert licence.NOTICE in capsys.readouterr().err
    sent = site.server.sent('sa_000021.tar')
    assert site.run('--json') == 0
    outcomes = {o['archive']: o for o in json.loads(capsys.readouterr().out)}
    assert [outcomes[f'sa_{n:06d}']['status'] for n in (20, 21, 22)] == [
        'downloaded',
        'present',
        'downloaded',
    ]
    assert site.server.sent('sa_000021.tar') == sent and len(site.whole()) == 3
    assert outcomes['sa_000022']['md5'] == hashlib.md5(site.bodies['sa_000022.tar']).hexdigest()


def test_what_only_has_an_archives_name_is_not_present(site, capsys):
    site.to.mkdir()
    (site.to / 'sa_000020.tar').touch()
    assert site.run('--archives', '20', '--json') == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome['status'] == 'downloaded' and site.whole() == ['sa_000020']
    (site.to / 'sa_000021.tar').mkdir()
    assert site.run('--archives', '21') == 1
    assert 'sa_000021.tar to be an archive, or nothing; got a folder' in capsys.readouterr().err


def test_command_needs_consent_once(site, capsys, monkeypatch):
    site.write_links()
    args = ['download', str(site.links), '--to', str(site.to), '--archives', '20']
    assert main.main(args) == 2
    assert 'pass --accept-license' in capsys.readouterr().err
    assert site.run('--archives', '20') == 0
    assert main.main(args) == 0
    assert licence.NOTICE not in capsys.readouterr().err.split('sa_000020')[-1]


@pytest.mark.parametrize(('answer', 'code'), [('yes\n', 0), ('no\n', 2), ('', 2)])
def test_command_asks_on_a_terminal(site, monkeypatch, answer, code):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    monkeypatch.setattr(sys, 'stdin', Terminal())
    site.write_links()
    args = ['download', str(site.links), '--to', str(site.to), '--archives', '20']
    assert main.main(args) == code


def test_expired_links_and_renewed_ones(site, capsys):
    assert site.run('--archives', '20') == 0
    site.write_links(expires=0x60000000)
    assert site.run() == 1
    error = capsys.readouterr().err
    assert 'have expired' in error and '21-22' in error and fault_server.SECRET not in error
    site.write_links()
    assert site.run() == 0 and len(site.whole()) == 3


def test_refused_links_end_the_run_and_are_explained(site, capsys):
    for served in site.server.objects.values():
        served.statuses = [(403, {}, b'URL signature expired')] * 9
    assert site.run('--jobs', '1') == 1
    error = capsys.readouterr().err
    assert 'status 403' in error and '1 failed, 2 stopped' in error and 'left: 20-22' in error
    assert fault_server.SECRET not in error and site.whole() == []


def test_one_missing_archive_does_not_end_the_run(site, capsys):
    del site.server.objects['sa_000020.tar']
    assert site.run('--jobs', '1') == 1
    assert 'status 404' in capsys.readouterr().err and site.whole() == ['sa_000021', 'sa_000022']


def test_a_network_that_is_gone_ends_the_run(site, capsys, monkeypatch):
    monkeypatch.setattr(fetch.Patience, 'delay', lambda *args: 0.0)
    for served in site.server.objects.values():
        served.cut_every = (0, 0)
    assert site.run('--jobs', '1') == 1
    error = capsys.readouterr().err
    assert '2 failed, 1 stopped' in error and 'left: 20-22' in error


def test_a_server_that_is_not_there_is_told_at_once(tmp_path, capsys):
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))  # nobody listens there, and nobody else can
        url = f'http://127.0.0.1:{closed.getsockname()[1]}/a?oh={fault_server.SECRET}'
        (tmp_path / 'links.txt').write_text(f'sa_000020.tar\t{url}\nsa_000021.tar\t{url}')
        args = ['download', str(tmp_path / 'links.txt'), '--to', str(tmp_path / 'to')]
        assert main.main([*args, '--accept-license']) == 1
    error = capsys.readouterr().err
    assert 'Connection refused' in error and fault_server.SECRET not in error
    assert not list((tmp_path / 'to').glob('*.part'))


def test_known_corrupt_archive_is_set_aside(site, tmp_path, monkeypatch, capsys):
    digests = tmp_path / 'mine.md5'
    good = hashlib.md5(site.bodies['sa_000021.tar']).hexdigest()
    digests.write_text(f'{"0" * 32}  sa_000020.tar\n{good}  sa_000021.tar\n')
    names, replace = [], os.replace
    monkeypatch.setattr(os, 'replace', lambda old, new: names.append(new) or replace(old, new))
    assert site.run('--digests', str(digests), '--json') == 1
    assert site.to / 'sa_000021.tar' in names
    assert site.to / 'sa_000020.tar' not in names, 'a kill would leave it under that name'
    outcomes = {o['archive']: o for o in json.loads(capsys.readouterr().out)}
    assert outcomes['sa_000020']['status'] == 'failed'
    assert outcomes['sa_000020']['digest'] == 'mismatch'
    assert outcomes['sa_000021']['digest'] == 'match'
    assert site.whole() == ['sa_000021', 'sa_000022']
    assert (site.to / 'sa_000020.tar.corrupt').exists()


@pytest.mark.parametrize('apart', [False, True])
def test_extraction(site, apart):
    extra = ['--extract', 'apart'] if apart else ['--extract']
    assert site.run('--archives', '20', *extra, '--delete_archives') == 0
    folder = site.to / 'sa_000020' if apart else site.to
    assert sorted(path.name for path in (folder / 'images').iterdir()) == [
        f'sa_{n}.jpg' for n in range(1, 7)
    ]
    record = json.loads((folder / 'annotations' / 'sa_3.json').read_text())
    assert record == samples.record(3)
    assert not (site.to / 'sa_000020.tar').exists()
    assert [unit.kind for unit in inputs.find([folder])] == ['folder']
    sent = site.server.sent('sa_000020.tar')
    assert site.run('--archives', '20', *extra, '--delete_archives') == 0
    assert site.server.sent('sa_000020.tar') == sent, 'nothing is fetched again'


def test_two_extractions_at_once_do_not_mix(site, monkeypatch):
    """A second start, while the first is about to give the files their places."""
    move, second = extract._move, []

    def move_late(source, target):
        monkeypatch.setattr(extract, '_move', move)
        second.append(site.run('--archives', '20', '--extract', '--delete_archives'))
        move(source, target)

    monkeypatch.setattr(extract, '_move', move_late)
    assert site.run('--archives', '20', '--extract', '--delete_archives') == 0
    assert second == [1]
    assert len(list((site.to / 'images').iterdir())) == 6
    assert not (site.to / 'sa_000020.tar').exists()


def test_note_of_an_extraction_is_whole_or_absent(site, monkeypatch):
    write_text = pathlib.Path.write_text

    def full(path, text, **options):
        if 'extracted' not in path.name:
            return write_text(path, text, **options)
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, 'write_text', full)
    assert site.run('--archives', '20', '--extract') == 1
    assert not extract.is_extracted(site.to, 'sa_000020')


def test_extraction_alone_needs_no_links(site, monkeypatch):
    import shutil

    assert site.run('--archives', '20,21') == 0
    site.write_links(expires=0x60000000)
    asked = len(site.server.requests)
    size = len(site.bodies['sa_000020.tar'])
    usage = shutil._ntuple_diskusage(10**12, 10**12, (1 << 30) + 2 * size + 10_000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    assert site.run('--archives', '20,21', '--extract') == 0
    assert len(list((site.to / 'images').iterdir())) == 6
    assert len(site.server.requests) == asked


def test_extraction_passes_over_names_that_lead_elsewhere(server, tmp_path):
    files = samples.members(1, 2)
    files['../sa_7.jpg'] = samples.jpeg(7)
    files['/sa_8.json'] = b'{}'
    samples.write_archive(tmp_path / 'a.tar', files)
    url = server.serve('a', (tmp_path / 'a.tar').read_bytes())
    (tmp_path / 'links').write_text(f'sa_000020.tar\t{url}')
    to = tmp_path / 'inner' / 'to'
    args = ['download', str(tmp_path / 'links'), '--to', str(to), '--accept-license', '--extract']
    assert main.main(args) == 0
    assert len(list((to / 'images').iterdir())) == 2
    assert not list(to.parent.glob('sa_*')) and not pathlib.Path('/sa_8.json').exists()


def test_archive_that_cannot_be_extracted_whole_is_kept(site, tmp_path, capsys):
    files = {**samples.members(1, 3), './sa_9.jpg': samples.jpeg(9)}
    samples.write_archive(tmp_path / 'a.tar', files)
    site.server.serve('sa_000020.tar', (tmp_path / 'a.tar').read_bytes())
    assert site.run('--archives', '20', '--extract', '--delete_archives') == 0
    assert '3 pairs extracted. Kept: not all of it' in capsys.readouterr().err
    assert (site.to / 'sa_000020.tar').exists()


def test_truncated_archive_extracts_nothing(site, archive):
    site.server.serve('sa_000020.tar', archive[:-5000])
    assert site.run('--archives', '20', '--extract') == 1
    assert not (site.to / 'images').exists()
    assert not list((site.to / '.sa1b').glob('*extract*'))


def test_extraction_can_be_stopped(site, monkeypatch, capsys):
    real = downloader.download

    def download_and_stop(link, folder, *, stop, **kwargs):
        done = real(link, folder, stop=stop, **kwargs)
        stop.set()
        return done

    monkeypatch.setattr(downloader, 'download', download_and_stop)
    assert site.run('--archives', '20', '--extract') == 1
    assert 'stopped. The archive is whole, but not extracted' in capsys.readouterr().err
    assert site.whole() == ['sa_000020'] and not (site.to / 'images').exists()
    monkeypatch.undo()
    assert site.run('--archives', '20', '--extract') == 0
    assert len(list((site.to / 'images').iterdir())) == 6


def test_full_disk_is_told_before(site, monkeypatch, capsys):
    import shutil

    usage = shutil._ntuple_diskusage(10**12, 10**12, 10**6)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    assert site.run() == 1
    assert 'expected room for' in capsys.readouterr().err and site.whole() == []


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['--archives', '20-19'], '--archives:'),
        (['--archives', '5'], 'got 5, which it does not'),
        (['--delete_archives'], 'expected --extract beside it'),
        (['--jobs', '0'], 'expected a whole number, 1 or more'),
        (['--limit_rate', 'fast'], 'expected a size such as 50M'),
    ],
)
def test_wrong_usage(site, capsys, extra, message):
    assert site.run(*extra) == 2
    assert message in capsys.readouterr().err


def _start(site, *args):
    site.write_links()
    command = [sys.executable, '-m', 'segment_anything_tfds', 'download', str(site.links)]
    command += ['--to', str(site.to), '--accept-license', *args]
    environment = dict(os.environ, PYTHONPATH=str(REPO))
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)


def _wait_for_bytes(site, count):
    deadline = time.monotonic() + 300  # where the machine is busy
    while sum(site.server.sent(name) for name in site.bodies) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_interrupt_ends_soon_and_keeps_what_came(site):
    for served in site.server.objects.values():
        served.rate = 20_000  # a minute for each: no download ends before the interrupt
    process = _start(site)
    _wait_for_bytes(site, 90_000)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130 and b'Traceback' not in error
    assert site.whole() == [] and list(site.to.glob('*.part'))
    for served in site.server.objects.values():
        served.rate = None
    assert site.run() == 0 and len(site.whole()) == 3


def test_kill_leaves_nothing_that_passes_for_whole(site):
    total = sum(map(len, site.bodies.values()))
    for served in site.server.objects.values():
        served.rate = 3_000_000
    for share in (0.2, 0.5, 0.9):
        process = _start(site)
        _wait_for_bytes(site, int(total * share))
        process.kill()
        process.communicate()
        finals = {path.name for path in site.to.glob('*.tar')}
        assert all(site.has(name, site.bodies[name]) for name in finals)
    assert site.run() == 0 and len(site.whole()) == 3
