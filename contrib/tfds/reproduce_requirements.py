"""Shows which modules TFDS imports without requiring them.

    python contrib/tfds/reproduce_requirements.py

Reads what the installed tensorflow-datasets requires, without extras, for this Python; then does
what needs each of the modules where that one is taken away.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

from packaging.requirements import Requirement

# Module, and what needs it; `url_infos` is what `download_and_prepare` reads first.
NEEDED = {
    'importlib_resources': "import tensorflow_datasets as tfds; tfds.builder('mnist').url_infos",
    'dill': 'import tensorflow_datasets.testing.dataset_builder_testing',
    'mlcroissant': 'import tensorflow_datasets.scripts.cli.main',
}


def is_required(module: str) -> bool:
    """Whether a plain `pip install tensorflow-datasets` asks for it, on this Python."""
    asked = map(Requirement, importlib.metadata.requires('tensorflow-datasets'))
    return any(
        re.sub('[-.]', '_', one.name) == module
        and (one.marker is None or one.marker.evaluate({'extra': ''}))
        for one in asked
    )


def do_without(module: str, code: str) -> str:
    """Runs code where a module cannot be imported, and says what happened."""
    code = f'import sys; sys.modules[{module!r}] = None; {code}'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    return 'works' if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Prints a line for each module."""
    version = importlib.metadata.version('tensorflow-datasets')
    print(f'tensorflow-datasets {version}, Python {sys.version.split()[0]}')
    for module, code in NEEDED.items():
        required = 'required' if is_required(module) else 'not required'
        print(f'{module}: {required}; `{code}` without it: {do_without(module, code)}')


if __name__ == '__main__':
    main()
