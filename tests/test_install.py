"""The package as a wheel and as an editable checkout, each installed in a fresh environment."""

import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest
from building import REPO

_FIND = """
from segment_anything_tfds.source import resources
for name in ('dummy_data', 'checksums'):
    print(resources.folder(name))
import segment_anything_tfds
print(segment_anything_tfds.__file__)
"""


@pytest.fixture
def environment(tmp_path):
    """A new environment that sees this one's packages, but not this checkout."""
    folder = tmp_path / 'env'
    venv.create(folder, with_pip=False, symlinks=True)
    site_packages = next(folder.glob('lib/python*/site-packages'))
    (site_packages / 'outer.pth').write_text(sysconfig.get_paths()['purelib'])
    return folder


def _pip_install(environment, *args):
    site_packages = next(environment.glob('lib/python*/site-packages'))
    command = [sys.executable, '-m', 'pip', '--python', str(environment / 'bin' / 'python')]
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--quiet', '--ignore-installed']
    subprocess.run([*command, 'install', *options, *args], check=True, cwd=environment)
    return site_packages


def _found(environment) -> list[pathlib.Path]:
    done = subprocess.run(
        [environment / 'bin' / 'python', '-c', _FIND],
        cwd=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return [pathlib.Path(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A copy of the files that git tracks, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp('checkout') / 'repo'
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=REPO, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split('\0')):
        if (REPO / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, folder / name)
    return folder


def test_wheel_carries_its_data(environment, checkout, tmp_path):
    pip_wheel = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*pip_wheel, '-q', '-w', str(tmp_path), str(checkout)], check=True)
    (wheel,) = tmp_path.glob('*.whl')
    site_packages = _pip_install(environment, str(wheel))
    dummy_data, checksums, package = _found(environment)
    assert dummy_data == site_packages / 'segment_anything_tfds' / 'dummy_data'
    assert checksums == site_packages / 'segment_anything_tfds' / 'checksums'
    assert package.parent.parent == site_packages
    for folder in (dummy_data, checksums):
        names = {path.name for path in folder.iterdir() if path.suffix not in ('.py', '.pyc')}
        tracked = {path.name for path in (checkout / folder.name).iterdir()}
        assert {name for name in tracked if not name.endswith('.py')} <= names
    for name in ('README.md', 'CITATIONS.bib', 'TAGS.txt'):
        assert (package.parent / name).exists()


def test_editable_checkout_finds_its_data(environment, checkout):
    _pip_install(environment, '--editable', str(checkout))
    dummy_data, checksums, package = _found(environment)
    assert dummy_data == checkout / 'dummy_data'
    assert checksums == checkout / 'checksums'
    assert package == checkout / 'segment_anything_tfds' / '__init__.py'
