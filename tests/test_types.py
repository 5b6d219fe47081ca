"""A type checker knows the types of the public functions."""

import subprocess
import sys

import building
import pytest

_PROGRAM = """\
import segment_anything_tfds as sa1b

for record in sa1b.records('a', archives='1', limit=2):
    name: str = record.file_name
count: int = sa1b.export('a', format='coco', out='b')
sa1b.show('a').save('x.png')
state: str = sa1b.verify('a')[0].state
status: str = sa1b.download('l', to='x', accept_license=True)[0].status
mean: float = sa1b.stats('a').mean('concavity')
sa1b.preview('a', png='p.png')
report: dict = sa1b.links('l')
sa1b.records.write([b'jpeg'], [[]], 'mine')
for example in sa1b.stream('0', manual_dir='a').take(1):
    sa1b.rle.area(example['counts'], example['size'])
batches = sa1b.load('0-1', batch_size=2)
sa1b.show(batches).pixels.shape
scores: dict = sa1b.evaluate('a', against='b')
wrong: int = sa1b.verify('a')[0].state
sa1b.preview('a', gif='p.gif')
"""


def _check(*paths):
    command = [sys.executable, '-m', 'mypy', '--ignore-missing-imports', '--follow-imports=silent']
    return subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, cwd=building.REPO
    )


@pytest.mark.slow
def test_type_checker_knows_the_public_functions(tmp_path):
    (tmp_path / 'program.py').write_text(_PROGRAM)
    found = _check(tmp_path / 'program.py').stdout.splitlines()
    lines = [line.split(':')[1] for line in found if ': error:' in line]
    assert lines == ['18', '19'], found


@pytest.mark.slow
def test_type_checker_passes_on_the_examples():
    done = _check(*sorted((building.REPO / 'examples').glob('*.py')))
    assert done.returncode == 0, done.stdout
