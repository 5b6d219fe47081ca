"""Shows which modules TFDS imports without requiring them.

    python contrib/tfds/reproduce_requirements.py

Reads what the installed tensorflow-datasets requires, without extras, for this Python; then imports
it with each of the modules taken away.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

from packaging.requirements import Requirement

# Module, and what needs it.
NEEDED = {
    'importlib_resources': 'tensorflow_datasets',
    'dill': 'tensorflow_datasets.testing.dataset_builder_testing',
    'mlcroissant': 'tensorflow_datasets.scripts.cli.main',
}
_IMPORT = """
import importlib, sys
sys.modules[sys.argv[1]] = None
importlib.import_module(sys.argv[2])
"""


def is_required(module: str) -> bool:
    """Whether a plain `pip install tensorflow-datasets` asks for it, on this Python."""
    asked = map(Requirement, importlib.metadata.requires('tensorflow-datasets'))
    return any(
        re.sub('[-.]', '_', one.name) == module
        and (one.marker is None or one.marker.evaluate({'extra': ''}))
        for one in asked
    )


def import_without(module: str, wanted: str) -> str:
    """Imports a module of TFDS where another cannot be imported, and says what happened."""
    done = subprocess.run(
        [sys.executable, '-c', _IMPORT, module, wanted], capture_output=True, text=True
    )
    return 'imports' if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Prints a line for each module."""
    version = importlib.metadata.version('tensorflow-datasets')
    print(f'tensorflow-datasets {version}, Python {sys.version.split()[0]}')
    for module, wanted in NEEDED.items():
        required = 'required' if is_required(module) else 'not required'
        print(f'{module}: {required}; {wanted} without it: {import_without(module, wanted)}')


if __name__ == '__main__':
    main()
