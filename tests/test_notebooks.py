"""The tutorials as notebooks: what the scripts say, without outputs; and they run."""

import importlib
import os
import sys

import building
import pytest

SCRIPTS = sorted((building.REPO / 'docs' / 'tutorials').glob('*.py'))
NEEDS = {
    '01_first_fit': ('keras_hub',),
    '02_fine_tune_and_judge': ('keras_hub', 'safetensors'),
    '03_pytorch': ('torch',),
    '04_jax_grain': ('grain', 'jax'),
    '05_bucket_and_cluster': ('moto.server', 's3fs'),
    '06_look_at_the_data': ('matplotlib',),
    '07_own_images': ('keras_hub',),
}


@pytest.fixture
def notebooks(monkeypatch):
    pytest.importorskip('jupytext')
    pytest.importorskip('sphinx_gallery')
    monkeypatch.syspath_prepend(str(building.REPO / 'docs' / '_site'))
    return importlib.import_module('notebooks')


def test_notebooks_are_those_of_the_scripts(notebooks):
    nbformat = importlib.import_module('nbformat')
    assert {path.stem for path in notebooks.FOLDER.glob('*')} == {path.stem for path in SCRIPTS}
    for script in SCRIPTS:
        made = nbformat.writes(notebooks.make(script)) + '\n'
        assert notebooks.path(script).read_text() == made, 'run `python docs/_site/notebooks.py`'
        assert f'{notebooks.COLAB}/{script.stem}.ipynb' in script.read_text()


@pytest.mark.slow
@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.stem)
def test_notebook_runs(notebooks, script, tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient')
    for name in NEEDS.get(script.stem, ()):
        pytest.importorskip(name)
    paths = f'{building.REPO}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    monkeypatch.setenv('PYTHONPATH', paths)
    notebook = notebooks.make(script)
    first = notebook.cells.pop(0)
    assert first.metadata.tags == [notebooks.INSTALL] and first.source.startswith('%pip install')
    client = nbclient.NotebookClient(
        notebook,
        kernel_name=_kernel(tmp_path, monkeypatch),
        resources={'metadata': {'path': str(tmp_path)}},
    )
    client.execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == 'code')


def _kernel(folder, monkeypatch) -> str:
    """Makes this Python a kernel, wherever others are installed."""
    specs = importlib.import_module('ipykernel.kernelspec')
    specs.install(kernel_name='tested', prefix=str(folder))
    monkeypatch.setenv('JUPYTER_PATH', str(folder / 'share' / 'jupyter'))
    assert sys.executable in (folder / 'share/jupyter/kernels/tested/kernel.json').read_text()
    return 'tested'
