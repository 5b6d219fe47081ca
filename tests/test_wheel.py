"""The package as it is installed: a wheel made from the source distribution, away from here."""

import email
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest
from building import REPO, build, digests

import segment_anything_tfds  # noqa: F401

NOT_SOURCE = ('.git', '.venv', '.*_cache', '__pycache__', '*.egg-info', 'build', '_build')
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
def source_archive(tmp_path_factory) -> pathlib.Path:
    """The source distribution; Beam's `--setup_file` makes the same."""
    source, out = tmp_path_factory.mktemp('copy') / 'source', tmp_path_factory.mktemp('sdist')
    shutil.copytree(REPO, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    _run(sys.executable, 'setup.py', '-q', 'sdist', '--dist-dir', out, cwd=source)
    (archive,) = out.glob('*.tar.gz')
    return archive


@pytest.fixture(scope='module')
def wheel(source_archive, tmp_path_factory) -> pathlib.Path:
    out = tmp_path_factory.mktemp('wheel')
    options = ('-q', '--no-deps', '--no-build-isolation', '-w', out)
    _run(sys.executable, '-m', 'pip', 'wheel', *options, source_archive, cwd=out)
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


def test_source_distribution_holds_what_the_tests_need(source_archive):
    with tarfile.open(source_archive) as tar:
        names = {name.partition('/')[2] for name in tar.getnames()}
    needed = ('tests', 'benchmarks', 'examples', 'dummy_data', '.ci')
    files = [path for part in needed for path in (REPO / part).rglob('*') if path.is_file()]
    missing = [
        name
        for path in files
        if (name := path.relative_to(REPO).as_posix()) not in names and '__pycache__' not in name
    ]
    assert not missing


def test_metadata_for_a_package_index(wheel):
    with zipfile.ZipFile(wheel) as package:
        (name,) = [name for name in package.namelist() if name.endswith('/METADATA')]
        metadata = email.message_from_bytes(package.read(name))
    assert metadata['License-Expression'] == 'Apache-2.0'
    assert metadata['Author']
    assert len(metadata.get_all('Project-URL')) >= 3
    assert 'Programming Language :: Python :: 3.13' in metadata.get_all('Classifier')
    targets = re.findall(r'\]\(([^)]+)\)', metadata.get_payload())
    assert targets
    assert not [target for target in targets if not target.startswith(('https://', '#'))]
    required = metadata.get_all('Requires-Dist')
    without_floor = [line for line in required if 'extra' not in line and '>=' not in line]
    assert [re.split(r'[<;]', line)[0] for line in without_floor] == ['etils', 'protobuf']
    users = re.compile(r'extra == "(export|index|onnx|report|s3|training)"')
    extras = [line for line in required if users.search(line)]
    assert len(extras) >= 6 and not [line for line in extras if '>=' not in line]


def test_wheel_holds_what_a_build_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ('segment_anything_dataset_builder.py', 'CITATIONS.bib', 'README.md', 'TAGS.txt'):
        assert f'segment_anything_tfds/{name}' in names
    assert 'segment_anything_tfds/dummy_data/sa_000000.tar' in names
    assert 'segment_anything_tfds/checksums/published.tsv' in names
    assert 'segment_anything_tfds/training/tiny/tiny_sam.npz' in names
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
