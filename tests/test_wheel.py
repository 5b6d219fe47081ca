"""The package as it is installed: a wheel made from the source distribution, away from here."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from building import REPO, build, digests

import segment_anything_tfds  # noqa: F401

PARTS = ('segment_anything_tfds', 'dummy_data', 'checksums')
FILES = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE')
BUILD = """
import pathlib, sys
import segment_anything_tfds
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from segment_anything_tfds.source import resources

if __name__ == '__main__':
    flags = [
        '--runner=PortableRunner',
        '--job_endpoint=embed',
        '--environment_type=beam:env:harness_subprocess_python:v1',
        f'--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main',
    ]
    config = tfds.download.DownloadConfig(
        manual_dir=resources.folder('dummy_data'),
        beam_options=pipeline_options.PipelineOptions(flags=flags),
    )
    builder = tfds.builder('segment_anything', data_dir=sys.argv[1])
    builder.download_and_prepare(download_config=config)
    print('PACKAGE', pathlib.Path(segment_anything_tfds.__file__).parent)
"""


def _run(*command: object, cwd: pathlib.Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f'{done.stdout}\n{done.stderr}'
    return done


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel; Beam's `--setup_file` makes the same source distribution."""
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in PARTS:
        shutil.copytree(REPO / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in FILES:
        shutil.copy(REPO / name, source)
    _run(sys.executable, 'setup.py', '-q', 'sdist', '--dist-dir', out, cwd=source)
    (archive,) = out.glob('*.tar.gz')
    _run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', out, archive, cwd=out)
    (found,) = out.glob('*.whl')
    return found


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory) -> pathlib.Path:
    """Python of a new environment: the wheel, and from the tests' environment all it requires."""
    folder = tmp_path_factory.mktemp('environment')
    _run(sys.executable, '-m', 'venv', '--without-pip', folder, cwd=folder)
    python = folder / 'bin' / 'python'
    found = _run(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))', cwd=folder)
    packages = pathlib.Path(found.stdout.strip())
    (packages / 'tests_environment.pth').write_text(sysconfig.get_path('purelib'))
    _run(
        *(sys.executable, '-m', 'pip', '--python', python, 'install', '-q'),
        *('--no-deps', '--no-index', '--ignore-installed', wheel),
        cwd=folder,
    )
    return python


def test_wheel_holds_what_a_build_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ('segment_anything_dataset_builder.py', 'CITATIONS.bib', 'README.md', 'TAGS.txt'):
        assert f'segment_anything_tfds/{name}' in names
    assert 'segment_anything_tfds/dummy_data/sa_000000.tar' in names
    assert 'segment_anything_tfds/checksums/published.tsv' in names
    assert not [name for name in names if name.startswith(('tests/', 'benchmarks/', 'examples/'))]


@pytest.mark.skipif(os.name != 'posix', reason='names of the environment are those of POSIX')
def test_wheel_alone_builds_through_the_portable_runner(python, tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(BUILD)
    said = _run(python, script, tmp_path / 'data', cwd=tmp_path).stdout
    package = pathlib.Path(said.partition('PACKAGE ')[2].strip())
    assert python.parent.parent in package.parents
    assert REPO not in package.parents
    here = build(REPO / 'dummy_data', tmp_path / 'here')
    assert digests(tmp_path / 'data' / 'segment_anything' / '1.0.0') == digests(here.data_path)
