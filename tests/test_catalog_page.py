"""The page of TFDS's catalog, by TFDS's own generator, and `tfds build` in the package's folder."""

import os
import pathlib
import re
import subprocess
import sys

import building
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.scripts.documentation import dataset_markdown_builder, doc_utils

SEEDS = building.REPO.parent / 'shared' / 'seeds'
# Rows that say something else here: what the package adds, and where it lives.
OWN = {'Description', 'Source code', 'Manual download instructions'}
_ROW = re.compile(r'^\*   \*\*(.+?)\*\*(.*?)(?=^\*   \*\*|\Z)', re.DOTALL | re.M)


def _page(builder, folder: pathlib.Path, monkeypatch) -> str:
    """A page as TFDS makes it; pictures and tables of examples lie in `folder`."""
    # The list of another site's links is not in the wheel.
    monkeypatch.setattr(doc_utils, 'get_pwc_catalog_urls', dict)
    paths = doc_utils.DocUtilPaths()
    return dataset_markdown_builder.get_markdown_string(
        builder=builder,
        config_builders=[],
        namespace=None,
        visu_doc_util=doc_utils.VisualizationDocUtil(str(folder), paths.fig_base_url),
        df_doc_util=doc_utils.DataframeDocUtil(str(folder), paths.df_base_url),
        nightly_doc_util=None,
    )


def _rows(page: str) -> dict[str, str]:
    """Rows by their names, without what a formatter of Markdown changes: padding, line breaks."""
    body = page.partition('# `segment_anything`')[2]
    return {
        name: re.sub(r'\s+', ' ', re.sub(r'(:?)-{2,}(:?)', r'\1-\2', text)).strip()
        for name, text in _ROW.findall(body)
    }


@pytest.fixture(scope='module')
def examples(prepared_dummy, tmp_path_factory) -> pathlib.Path:
    """Where the catalog's table of examples lies, made as the catalog makes it."""
    folder = tmp_path_factory.mktemp('examples')
    frame = tfds.as_dataframe(prepared_dummy.as_dataset(split='train').take(2), prepared_dummy.info)
    (folder / 'segment_anything-1.0.0.html').write_text(frame._repr_html_())
    return folder


def test_page_before_a_build_is_that_of_the_catalog(tmp_path, examples, monkeypatch):
    catalog = next(
        (
            path.read_text()
            for path in sorted(SEEDS.glob('*.txt'))
            if path.read_text().startswith('<div itemscope')
        ),
        None,
    )
    if catalog is None:
        pytest.skip('the page of the catalog is not here')
    ours = _rows(_page(building.builder(tmp_path), examples, monkeypatch))
    theirs = _rows(catalog)
    assert list(ours) == list(theirs)
    for name, text in theirs.items():
        if name not in OWN:
            assert ours[name] == text, name
    assert '`10.28 TiB`' in ours['Download size'] and '11,185,362' in ours['Splits']


def test_page_after_a_build_says_what_was_built(prepared_dummy, examples, monkeypatch):
    rows = _rows(_page(prepared_dummy, examples, monkeypatch))
    archives = (building.REPO / 'dummy_data').glob('*.tar')
    size = tfds.core.utils.Size(sum(path.stat().st_size for path in archives))
    assert rows['Download size'] == f': `{size}`'
    assert rows['Dataset size'] == f': `{prepared_dummy.info.dataset_size}`'
    assert rows['Splits'].endswith("`'train'` | 15")


def test_selection_knows_its_share_before_a_build(tmp_path):
    info = building.builder(tmp_path, '20-29').info
    assert info.splits['train'].num_examples == 111_860
    assert str(info.download_size) == '105.27 GiB'


@pytest.mark.slow
def test_tfds_build_in_the_folder_of_the_package(tmp_path):
    command = [pathlib.Path(sys.executable).parent / 'tfds', 'build', '--config=1']
    done = subprocess.run(
        [*command, f'--manual_dir={building.REPO / "dummy_data"}', f'--data_dir={tmp_path}'],
        cwd=building.REPO / 'segment_anything_tfds',
        env=dict(os.environ, PYTHONPATH=str(building.REPO)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert building.builder(tmp_path, '1').info.splits['train'].num_examples == 5
