"""Meta's `segment_anything` in a process of its own, for tests that compare with it.

Its torch and torchvision are Debian's, which other interpreters cannot import, so arrays go there
and come back as .npz. `.ci/reference` installs it; where it is absent, tests skip.

    def test_something(meta):
        found = meta.run('sam = side.random_sam(64)\nout["logits"] = ...', points=points)
        found['logits']

Code runs with `data` (the arrays given), `out` (the arrays that come back), `np`, `torch` and
`side`, which is `meta_side.py`.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
PLACE = HERE.parent / 'build' / 'reference'  # where .ci/reference puts the packages
VARIABLE = 'SEGMENT_ANYTHING_REFERENCE'

_LOOK = """
import importlib.util, sys
sys.exit(not all(map(importlib.util.find_spec, ('torch', 'torchvision'))))
"""

_RUN = """
import sys
import numpy as np, torch
import meta_side as side
with np.load(sys.argv[1]) as file:
    data = dict(file)
out = {}
exec(open(sys.argv[2]).read())
np.savez(sys.argv[3], **out)
"""


class Meta:
    """Runs code beside Meta's package.

    Attributes:
      packages: folder that holds `segment_anything` and `pycocotools`.
      python: an interpreter that has torch and torchvision.
      folder: for the files that go to and fro.
    """

    def __init__(self, packages: pathlib.Path, python: str, folder: pathlib.Path):
        self.packages, self.python, self.folder = packages, python, folder

    def run(self, code: str, timeout: float = 300, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """What `code` put into `out`.

        Args:
          code: Python.
          timeout: seconds.
          **arrays: what `code` finds in `data`.

        Returns:
          NumPy arrays by name.
        """
        given, script, found = (self.folder / name for name in ('in.npz', 'code.py', 'out.npz'))
        np.savez(given, **arrays)
        script.write_text(code)
        path = os.pathsep.join([str(self.packages), str(HERE)])
        done = subprocess.run(
            [self.python, '-c', _RUN, given, script, found],
            env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '2'},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise AssertionError(f"in the process of Meta's package:\n{done.stderr[-4000:]}")
        with np.load(found) as file:
            return dict(file)


def find() -> tuple[pathlib.Path, str] | None:
    """The packages' folder and the interpreter, or None where there are none."""
    packages = pathlib.Path(os.environ.get(VARIABLE) or PLACE)
    python = '/usr/bin/python3'
    if not (packages / 'segment_anything').is_dir() or sys.platform != 'linux':
        return None
    tried = subprocess.run([python, '-c', _LOOK], capture_output=True)  # an import takes seconds
    return None if tried.returncode else (packages, python)


@pytest.fixture(scope='session')
def meta(tmp_path_factory) -> Meta:
    """Meta's package, or a skip."""
    found = find()
    if found is None:
        pytest.skip(f"Meta's segment_anything is not at hand: run .ci/reference or set {VARIABLE}")
    return Meta(*found, tmp_path_factory.mktemp('meta'))
