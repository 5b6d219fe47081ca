"""Digests by archive name."""

import hashlib
import shutil
import subprocess

import pytest

from segment_anything_tfds.source import checksums
from segment_anything_tfds.source.checksums import Checksums, Entry

A, B, C = 'a' * 32, 'b' * 32, 'c' * 32
CORRUPT = {
    'sa_000014': ('adf375c37e3e6248f2dad239b7a9c206', '45e15f9ff5ded968abe4eb01b95be29a'),
    'sa_000016': ('dacee570024faada8d0b2fceecfce009', '441129d8f0cbed260c8eafaac98b3965'),
    'sa_000017': ('ac73e1e8ec2ec4044b692a8c965aa5c5', 'dade5977ae2736a79dbbed4e9a550ec4'),
    'sa_000019': ('50ebcb16d9482a3d7e2f53b02e510363', '05f1a621b3f685e5213602b99613eaf6'),
}


@pytest.fixture
def write(tmp_path):
    def write(text, name='list.md5'):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize('name', CORRUPT)
def test_known_corrupt_copies_are_recognised_by_name(name):
    known = checksums.load()
    corrupt, good = CORRUPT[name]
    verdict = known.check(f'{name}.tar', corrupt)
    assert (verdict.status, verdict.level) == ('corrupt', 'error')
    assert 'as published by reyuyu/SAID and XuyangShen' in verdict.detail
    assert 'not confirmed by Meta' in verdict.detail
    assert corrupt in verdict.detail
    assert known.check(name, good).status == 'match'
    assert known.digest(name) == good


def test_published_digests_only_warn():
    verdict = checksums.load().check('sa_000014', A)
    assert (verdict.status, verdict.level) == ('mismatch', 'warning')
    assert CORRUPT['sa_000014'][1] in verdict.detail and A in verdict.detail


def test_a_corrupt_digest_of_another_name_is_not_meant():
    known = checksums.load()
    assert known.check('sa_000016', CORRUPT['sa_000014'][0]).status == 'mismatch'
    verdict = known.check('sa_000020', CORRUPT['sa_000014'][0])
    assert (verdict.status, verdict.level) == ('unknown', 'ok')


def test_own_lists_are_trusted(write):
    known = checksums.load([write(f'{A}  sa_000014.tar\n')])
    verdict = known.check('sa_000014', B)
    assert (verdict.status, verdict.level) == ('mismatch', 'error')
    assert 'list.md5' in verdict.detail
    assert known.check('sa_000014', A).status == 'match'
    assert known.digest('sa_000014') == A
    # A corrupt copy stays one, whatever a list blesses.
    corrupt = CORRUPT['sa_000014'][0]
    known = checksums.load([write(f'{corrupt}  sa_000014.tar\n')])
    assert known.check('sa_000014', corrupt).status == 'corrupt'


@pytest.mark.parametrize(
    'name', ['sa_000020', 'sa_000020.tar', '/x/sa_000020.tar', 'sa_000020.tar.gz']
)
def test_names_of_one_archive(name):
    known = Checksums([Entry('sa_000020.tar', A)])
    assert name in known
    assert known.check(name, A.upper()).status == 'match'
    assert len(known) == 1


def test_formats(write):
    entries = checksums.read(
        write(
            '\ufeff# mine\n\n'
            f'{A}  sa_000001.tar\r\n{B.upper()} *./sa_000002.tar\n'
            f'MD5 (sa_000003.tar) = {C}\n{A}  with  two spaces.tar\n'
        )
    )
    assert [(entry.name, entry.md5) for entry in entries] == [
        ('sa_000001.tar', A),
        ('sa_000002.tar', B),
        ('sa_000003.tar', C),
        ('with  two spaces.tar', A),
    ]
    assert all(entry.trusted and entry.source == 'list.md5' for entry in entries)


@pytest.mark.parametrize('line', [f'{A[1:]}  a.tar', f'{A}', f'{A}\ta.tar', 'a.tar', '<html>'])
def test_malformed_list(write, line):
    path = write(f'{B}  b.tar\n{line}\n')
    with pytest.raises(
        ValueError, match=r'`checksums.read`: expected lines .* in line 2'
    ) as caught:
        checksums.read(path)
    assert repr(line) in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    'row', [f'a.tar\t{A}\tgood', f'a.tar\t{A}\tfine\tme', 'a.tar\tx\tgood\tme']
)
def test_malformed_table(write, row):
    path = write(f'file_name\tmd5\tstate\tsource\n{row}\n')
    with pytest.raises(ValueError, match=r'file_name<TAB>md5<TAB>state<TAB>source.* in line 2'):
        checksums.read(path)


def test_no_such_list(tmp_path):
    with pytest.raises(FileNotFoundError):
        checksums.load([tmp_path / 'none.md5'])


@pytest.mark.parametrize('md5', ['', A[1:], A + 'a', 'g' * 32, None])
def test_no_digest(md5):
    with pytest.raises(ValueError, match=r'`checksums.check`: expected `md5` to be 32') as caught:
        Checksums().check('sa_000020', md5)
    assert repr(md5) in str(caught.value)


def test_record_writes_what_md5sum_reads(tmp_path):
    if shutil.which('md5sum') is None:
        pytest.skip('no md5sum')
    digests = {}
    for name in ('b.tar', 'a.tar'):
        (tmp_path / name).write_bytes(name.encode())
        digests[name] = hashlib.md5(name.encode()).hexdigest()
    path = tmp_path / 'list.md5'
    path.write_text('# mine\n')
    for name, md5 in digests.items():
        checksums.record(path, {name: md5})
    assert path.read_text() == f'# mine\n{digests["a.tar"]}  a.tar\n{digests["b.tar"]}  b.tar\n'
    subprocess.run(['md5sum', '--check', '--strict', path.name], cwd=tmp_path, check=True)
    assert sorted(child.name for child in tmp_path.iterdir()) == ['a.tar', 'b.tar', 'list.md5']


def test_record_makes_the_list_and_keeps_what_it_has(tmp_path):
    path = tmp_path / 'list.md5'
    checksums.record(path, {'a.tar': A})
    with pytest.raises(ValueError, match=rf'recorded in .*{A}; got {B}'):
        checksums.record(path, {'c.tar': C, 'a.tar': B})
    assert path.read_text() == f'{A}  a.tar\n'
    checksums.record(path, {'a.tar': B}, replace=True)
    assert path.read_text() == f'{B}  a.tar\n'
    with pytest.raises(ValueError, match=r"`checksums.record`: .*got 'x'"):
        checksums.record(path, {'d.tar': 'x'})


def test_public_list_agrees_where_it_should(shared_data):
    """The list blesses the four corrupt copies: recognised all the same."""
    known = checksums.load()
    entries = checksums.read(shared_data / 'md5_archives.txt')
    assert len(entries) == 1000
    statuses = {entry.name: known.check(entry.name, entry.md5).status for entry in entries}
    found = {name[:9] for name, status in statuses.items() if status == 'corrupt'}
    assert found == set(CORRUPT)
    assert sum(status == 'unknown' for status in statuses.values()) == 996
