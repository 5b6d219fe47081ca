"""Writes the tutorials as notebooks that open in Colab: `python docs/_site/notebooks.py`.

They are committed, without outputs, since Colab opens what lies in the repository.
"""

from __future__ import annotations

import pathlib
import re

import jupytext
import nbformat

DOCS = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = sorted((DOCS / 'tutorials').glob('*.py'))
FOLDER = DOCS / 'notebooks'
REPOSITORY = 'segment-anything-tfds/segment-anything-tfds'
COLAB = f'https://colab.research.google.com/github/{REPOSITORY}/blob/main/docs/notebooks'
# What a tutorial needs beside the package.
ALSO = {'03_pytorch': 'torch', '04_jax_grain': 'grain jax', '05_bucket_and_cluster': 'moto[server]'}
EXTRAS = {'05_bucket_and_cluster': 's3'}
INSTALL = 'install'  # the tag of the first cell


def make(script: pathlib.Path) -> nbformat.NotebookNode:
    """Makes the notebook of a tutorial, the same each time.

    Args:
      script: a script as sphinx-gallery takes it.
    """
    text = script.read_text()
    text = re.sub(r'^# %%$', '#' * 79, text, flags=re.M)  # what jupytext knows of sphinx-gallery
    form = {'extension': '.py', 'format_name': 'sphinx', 'rst2md': True}
    read = jupytext.reads(text, fmt=form)
    cells = [nbformat.v4.new_code_cell(install(script.stem), metadata={'tags': [INSTALL]})]
    for cell in read.cells:
        if cell.source != '%matplotlib inline':
            new = nbformat.v4.new_code_cell if cell.cell_type == 'code' else _text_cell
            cells.append(new(cell.source))
    for number, cell in enumerate(cells):
        cell.id = f'cell-{number}'
    kernel = {'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def path(script: pathlib.Path) -> pathlib.Path:
    """Where the notebook of a tutorial lies."""
    return FOLDER / f'{script.stem}.ipynb'


def install(name: str = '') -> str:
    """The line that installs what a tutorial needs, the package from where the notebook lies."""
    extras = EXTRAS.get(name, 'training,report')
    wanted = f"'segment-anything-tfds[{extras}] @ git+https://github.com/{REPOSITORY}'"
    also = f" '{ALSO[name]}'" if '[' in ALSO.get(name, '') else f' {ALSO.get(name, "")}'
    return f'%pip install --quiet {wanted}{also}'.rstrip()


def _text_cell(source: str) -> nbformat.NotebookNode:
    kept = [line for line in source.splitlines() if COLAB not in line]
    return nbformat.v4.new_markdown_cell('\n'.join(kept).strip())


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(exist_ok=True)
    for script in SCRIPTS:
        path(script).write_text(nbformat.writes(make(script)) + '\n')


if __name__ == '__main__':
    main()
