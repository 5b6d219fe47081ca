"""The documentation site: built as its readers get it, and opened without a network."""

import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest
from building import REPO

pytestmark = pytest.mark.slow

CHROMIUM = pathlib.Path('/usr/bin/chromium')
# What newcomers ask, as they would type it, and the page that answers.
QUESTIONS = {
    'link expired': ('howto/download', 'howto/troubleshooting'),
    'which archives': ('howto/download', 'reference/dataset', 'howto/faq'),
    'decode masks': ('howto/memory', 'reference/python/segment_anything_tfds.rle'),
    'validation split': ('howto/splits', 'learn/02_fine_tune_and_judge'),
    'filter masks by area': ('howto/filter',),
    'fine-tune': ('howto/finetune', 'learn/02_fine_tune_and_judge'),
    'pytorch': ('howto/load', 'learn/03_pytorch'),
    'own images': ('howto/own_data', 'howto/annotate', 'learn/07_own_images'),
    'correct masks cvat': ('howto/annotation_tools', 'learn/08_corrections'),
    'bbox pixel': ('reference/boxes',),
    'licence research': ('howto/licence', 'howto/faq'),
    's3 not implemented': ('howto/troubleshooting', 'running'),
}
LIMIT = 1 << 20  # bytes of a page


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> pathlib.Path:
    pytest.importorskip('sphinx')
    pytest.importorskip('sphinx_gallery')
    pytest.importorskip('myst_parser')
    out = tmp_path_factory.mktemp('site')
    command = [
        sys.executable,
        '-m',
        'sphinx',
        '-q',
        '-W',
        '--keep-going',
        '-n',
        '-d',
        out / 'trees',
    ]
    done = subprocess.run(
        [*map(str, command), str(REPO / 'docs'), str(out / 'html')], capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if 'WARNING: ' in line or 'ERROR' in line]
    assert done.returncode == 0, '\n'.join(said[-30:]) or done.stderr[-3000:]
    return out / 'html'


def _pages(site: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in site.rglob('*.html') if '_static' not in path.parts)


def test_every_public_name_has_an_entry(site):
    from sphinx.util.inventory import InventoryFile

    sys.path.insert(0, str(REPO / 'docs' / '_site'))
    pages = importlib.import_module('pages')
    found = InventoryFile.loads((site / 'objects.inv').read_bytes(), uri='').data
    entries = {name for kind, names in found.items() if kind.startswith('py:') for name in names}
    for path, module in pages.public_modules().items():
        assert path in entries
        for name in pages.names(module):
            if not inspect.ismodule(getattr(module, name)):
                assert f'{path}.{name}' in entries


def test_pages_are_light(site):
    for page in _pages(site):
        assert page.stat().st_size < LIMIT, page


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    if not CHROMIUM.exists():
        pytest.skip('Chromium is not installed')
    with playwright.sync_playwright() as running:
        flags = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield chromium
        chromium.close()


def test_pages_load_alone_and_fit_a_telephone(site, browser):
    page = browser.new_context(viewport={'width': 400, 'height': 800}).new_page()
    faults, asked = [], []
    page.on('pageerror', lambda error: faults.append(str(error)))
    page.on('request', lambda request: asked.append(request.url))
    for path in _pages(site):
        page.goto(path.as_uri())
        wide = page.evaluate('document.documentElement.scrollWidth')
        assert wide <= 400, f'{path}: {wide}'
    assert faults == []
    assert [url for url in asked if not url.startswith(('file:', 'data:', 'blob:'))] == []


@pytest.mark.parametrize('question', QUESTIONS)
def test_search_finds_the_page_on_the_first_screen(site, browser, question):
    page = browser.new_context(viewport={'width': 1200, 'height': 900}).new_page()
    page.goto(f'{(site / "search.html").as_uri()}?q={question.replace(" ", "+")}')
    page.wait_for_selector('#search-results li a')
    page.wait_for_timeout(500)
    links = page.eval_on_selector_all(
        '#search-results li a',
        'found => found.filter(a => a.getBoundingClientRect().top < 900).map(a => a.href)',
    )
    assert any(f'/{answer}.html' in link for link in links for answer in QUESTIONS[question]), links
