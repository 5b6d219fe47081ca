"""Shows what the builder of this folder changes, inside the TFDS that was released.

    python contrib/tfds/prove.py [--wheel tensorflow_datasets-4.9.10-py3-none-any.whl] [--json FILE]

Unpacks the released wheel into a temporary folder twice, puts our builder into one of the copies,
and runs in both: TFDS's own test case of this data set as it was released, our tests, and a build
of `dummy_data` from links. Nothing outside the temporary folder is touched, and nothing is sent
anywhere.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import hashlib
import http.server
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ARCHIVES = HERE.parent.parent / 'dummy_data'
DATASET = pathlib.Path('tensorflow_datasets/datasets/segment_anything')
MODULE = 'tensorflow_datasets.datasets.segment_anything.segment_anything_dataset_builder'
BUILDER = 'segment_anything_dataset_builder.py'
OUR_TEST = 'segment_anything_dataset_builder_test.py'
THEIR_TEST = 'released_test.py'
_MINUTES = 15

_RUN_TESTS = """
import json, sys, unittest
from absl import flags
flags.FLAGS(['prove'])
class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        started.append(test.id())
started = []
result = Result()
unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(result)
bad = {}
for test, text in result.failures + result.errors:
    whole = getattr(test, 'test_case', test)  # of a subtest
    bad.setdefault(whole.id(), text.strip().splitlines()[-1])
skipped = {test.id() for test, _ in result.skipped}
found = {one.rpartition('.')[2]: bad.get(one, 'passed') for one in started if one not in skipped}
print('RESULT' + json.dumps(found))
"""

_BUILD = """
import hashlib, json, sys
import numpy as np
import tensorflow_datasets as tfds
manual_dir, data_dir = sys.argv[1:]
del sys.argv[1:]  # which Beam would take for options of its own
builder = tfds.builder('segment_anything', data_dir=data_dir)
config = tfds.download.DownloadConfig(manual_dir=manual_dir)
try:
    builder.download_and_prepare(download_config=config)
except Exception as error:
    print('RESULT' + json.dumps({'error': f'{type(error).__name__}: {error}'[:300]}))
    raise SystemExit
def leaves(value):
    if not isinstance(value, dict):
        return [np.asarray(value)]
    return [leaf for key in sorted(value) for leaf in leaves(value[key])]
def digest(example):
    found = hashlib.sha256()
    for leaf in leaves(example):
        found.update(f'{leaf.dtype} {leaf.shape} {leaf.tolist()!r}'.encode())
    return found.hexdigest()
examples = tfds.as_numpy(builder.as_dataset(split='train'))
digests = {str(example['image']['image_id']): digest(example) for example in examples}
print('RESULT' + json.dumps({'digests': digests}))
"""


def unpack(wheel: pathlib.Path | None, folder: pathlib.Path) -> str:
    """Unpacks the released TFDS, and says where it comes from.

    Without a wheel, one of the installed version is asked of the package index; where that cannot
    be reached, the installed files are copied, each after its digest was compared with the list
    that came in the wheel.
    """
    version = importlib.metadata.version('tensorflow-datasets')
    if wheel is None:
        wheel = _from_index(version, folder)
    if wheel is not None:
        with zipfile.ZipFile(wheel) as zipped:
            zipped.extractall(folder)
        return wheel.name
    for file in importlib.metadata.files('tensorflow-datasets'):
        if file.hash is None or file.parts[0] != 'tensorflow_datasets':
            continue
        content = file.read_binary()
        digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, content).digest())
        if digest.rstrip(b'=').decode() != file.hash.value:
            raise SystemExit(f'{file} is not as it was released.')
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    return f'the installed files of {version}'


def _from_index(version: str, folder: pathlib.Path) -> pathlib.Path | None:
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--dest']
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command += [str(folder / 'wheel'), f'tensorflow-datasets=={version}']
        subprocess.run(command, capture_output=True, timeout=120)
    return next((folder / 'wheel').glob('*.whl'), None)


def lay_out(tree: pathlib.Path, *, ours: bool) -> None:
    """Puts tests and their data into an unpacked TFDS; with `ours`, our builder as well."""
    place = tree / DATASET
    (place / OUR_TEST).rename(place / THEIR_TEST)
    shutil.copy(HERE / OUR_TEST, place)
    if ours:
        shutil.copy(HERE / BUILDER, place)
    data = place / 'dummy_data'
    shutil.copytree(HERE / 'dummy_data', data)
    # The released test reads an extracted archive, which the wheel has not: the same pair.
    with tarfile.open(data / 'sa_000020.tar') as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            path = data / 'sa_000020' / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())


def run(tree: pathlib.Path, code: str, *args: object) -> dict:
    """Runs code that prints a result, in a process that imports the unpacked TFDS."""
    environment = dict(os.environ, PYTHONPATH=str(tree), CUDA_VISIBLE_DEVICES='')
    environment |= {'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, args)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60 * _MINUTES,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('RESULT')]
    if not lines:
        raise SystemExit(f'exit code {done.returncode}\n{done.stderr[-3000:]}')
    return json.loads(lines[-1].removeprefix('RESULT'))


@contextlib.contextmanager
def links_to(archives: pathlib.Path, manual_dir: pathlib.Path):
    """Serves archives, and writes a links file that lists them alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(archives))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rows = ['file_name\tcdn_link']
        for path in sorted(archives.glob('sa_*.tar')):
            rows.append(f'{path.name}\thttp://127.0.0.1:{server.server_port}/{path.name}')
        manual_dir.mkdir()
        (manual_dir / 'segment_anything_links.txt').write_text('\n'.join(rows))
        yield
        server.shutdown()


def prove(wheel: pathlib.Path | None, folder: pathlib.Path) -> dict:
    """Runs everything on both sides; see the table that `main` prints."""
    trees = {'released': folder / 'released', 'ours': folder / 'ours'}
    origin = unpack(wheel, trees['released'])
    shutil.copytree(trees['released'], trees['ours'])
    report = {'released from': origin}
    with links_to(ARCHIVES, folder / 'manual'):
        for side, tree in trees.items():
            lay_out(tree, ours=side == 'ours')
            place = MODULE.rpartition('.')[0]
            report[side] = {
                'their test': run(tree, _RUN_TESTS, f'{place}.{THEIR_TEST.removesuffix(".py")}'),
                'our test': run(tree, _RUN_TESTS, f'{place}.{OUR_TEST.removesuffix(".py")}'),
                'dummy_data': run(tree, _BUILD, folder / 'manual', folder / f'data_{side}'),
            }
    return report


def table(report: dict) -> str:
    """The report as lines of Markdown."""
    lines = ['| | released | with our builder |', '|---|---|---|']
    for kind in ('their test', 'our test'):
        for name in report['ours'][kind]:
            cells = [_verdict(report[side][kind].get(name)) for side in ('released', 'ours')]
            lines.append(f'| {kind}: `{name}` | {cells[0]} | {cells[1]} |')
    built = {side: report[side]['dummy_data'] for side in ('released', 'ours')}
    cells = [_images(built[side]) for side in ('released', 'ours')]
    lines.append(f'| build of `dummy_data`, 15 images | {cells[0]} | {cells[1]} |')
    theirs, ours = (built[side].get('digests', {}) for side in ('released', 'ours'))
    both = theirs.keys() & ours.keys()
    equal = sum(theirs[one] == ours[one] for one in both)
    lines.append(f'| examples in both, and equal in every feature | {len(both)} | {equal} |')
    return '\n'.join(lines)


def _verdict(outcome: str | None) -> str:
    if outcome in (None, 'passed'):
        return outcome or 'not there'
    return 'fails: ' + outcome[:90].replace('|', '\\|')


def _images(build: dict) -> str:
    if 'error' in build:
        return 'fails: ' + build['error'][:90].replace('|', '\\|').replace('\n', ' ')
    return str(len(build['digests']))


def main() -> None:
    """Prints the table; exits with 1 where anything fails with our builder."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--wheel', type=pathlib.Path, help='a wheel of tensorflow-datasets')
    parser.add_argument('--json', type=pathlib.Path, help='where to write the whole report')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = prove(args.wheel, pathlib.Path(folder))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))
    print(f'tensorflow-datasets: {report["released from"]}\n')
    print(table(report))
    ours = [*report['ours']['their test'].values(), *report['ours']['our test'].values()]
    whole = len(report['ours']['dummy_data'].get('digests', ())) == 15
    raise SystemExit(set(ours) != {'passed'} or not whole)


if __name__ == '__main__':
    main()
