"""Every block of code in the documentation and the README runs, or says why it does not."""

import ast
import errno
import importlib.util
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from building import REPO

PAGES = [REPO / 'README.md', *sorted((REPO / 'contrib').rglob('*.md'))]
PAGES += sorted((REPO / 'docs').rglob('*.md'))
PAGES = [page for page in PAGES if '_build' not in page.parts and 'commands' not in page.parts]
_BLOCK = re.compile(r'^(<!-- skip: ([^>]*)-->\n)?(```|~~~)([^\n]*)\n(.*?)^\3$', re.DOTALL | re.M)
# What is shown and not run, and Sphinx's own.
SHOWN = ('', 'text', 'json', 'bibtex')
_DRIVER = """
import subprocess
scope = {{'__name__': '__main__'}}
for language, code in {blocks!r}:
    if language == 'python':
        exec(compile(code, '<page>', 'exec'), scope)
    else:
        subprocess.run(['bash', '-euc', code], check=True)
"""


def blocks(page: pathlib.Path) -> list[tuple[str, str, str]]:
    """The blocks of a page: reason for which it does not run, language, code."""
    found = []
    for _, reason, _, language, code in _BLOCK.findall(page.read_text()):
        if language not in SHOWN and not language.startswith('{'):
            found.append((reason.strip(), language, code))
    return found


def runnable(page: pathlib.Path) -> list[tuple[str, str]]:
    # Doctests have a test of their own.
    return [
        (language, code)
        for reason, language, code in blocks(page)
        if not reason and not code.startswith('>>>')
    ]


@pytest.fixture(scope='module')
def data_dir(prepared_dummy, tmp_path_factory):
    """A copy, since pages may build what is missing."""
    data_dir = prepared_dummy.data_path.parent.parent
    return shutil.copytree(data_dir, tmp_path_factory.mktemp('data') / 'sets')


def test_blocks_are_of_languages_that_run():
    for page in PAGES:
        assert {language for _, language, _ in blocks(page)} <= {'python', 'sh'}, page


# The README has tests of its own: test_readme.py runs its Python, test_install.py its commands.
@pytest.mark.slow
@pytest.mark.parametrize(
    'page', [page for page in PAGES[1:] if runnable(page)], ids=lambda page: page.stem
)
def test_blocks_of_a_page_run(page, data_dir, tmp_path):
    shutil.copytree(REPO / 'dummy_data', tmp_path / 'archives', ignore=lambda *_: ['__pycache__'])
    environment = dict(
        os.environ,
        PYTHONPATH=str(REPO),
        TFDS_DATA_DIR=str(data_dir),
        PATH=f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}',
    )
    done = subprocess.run(
        [sys.executable, '-c', _DRIVER.format(blocks=runnable(page))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


# What the troubleshooting page quotes of others: texts of these modules, and what TensorFlow says.
OTHERS = (
    'apache_beam/runners/portability/local_job_service.py',
    'keras/src/layers/input_spec.py',
    'keras/src/trainers/epoch_iterator.py',
    'tensorflow_datasets/core/dataset_builder.py',
    'tensorflow_datasets/scripts/cli/build.py',
)
SYMPTOMS = 5  # headings at the end that no text goes with


def _texts(path: pathlib.Path) -> list[str]:
    """The strings of a module, with NUL in the place of values."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        parts = [getattr(part, 'value', '\0') for part in getattr(node, 'values', [node])]
        found.append(''.join(part if isinstance(part, str) else '\0' for part in parts))
    return found


def _said_by_tensorflow() -> Iterator[str]:
    import tensorflow as tf

    uneven = tf.data.Dataset.range(2).map(tf.range)
    for action in (
        lambda: tf.zeros(tf.constant([2, 3], tf.uint64)),
        lambda: tf.io.gfile.exists('s3://bucket/name'),
        lambda: list(uneven.batch(2)),  # one step for `map` and `batch`
        lambda: list(uneven.prefetch(1).batch(2)),  # two, as after `tfds.load`
    ):
        with pytest.raises(tf.errors.OpError) as said:
            action()
        yield str(said.value)


def test_troubleshooting_quotes_what_is_really_said():
    page = (REPO / 'docs/howto/troubleshooting.md').read_text()
    headings = re.findall('^## (.+)$', page, flags=re.M)
    quoted = [re.findall('`([^`]+)`', heading) for heading in headings[:-SYMPTOMS]]
    assert len(quoted) >= 20 and all(quoted)
    assert '--imports=segment_anything_tfds' in page.partition(headings[1])[0]
    modules = [*(REPO / 'segment_anything_tfds').rglob('*.py')]
    for name in OTHERS:
        package = importlib.util.find_spec(name.partition('/')[0])
        modules.append(pathlib.Path(package.origin).parent.parent / name)
    said = [text for module in modules for text in _texts(module)]
    said += [*_said_by_tensorflow(), os.strerror(errno.ENOSPC), str(_import_of('nothing_like_it'))]
    for text in itertools.chain(*quoted):
        # Of these two names only the place is theirs.
        parts = re.split("…|(?<=Dataset )segment_anything|(?<=')keras_hub(?=')", text)
        pattern = '.*?'.join(map(re.escape, parts))
        assert any(re.search(pattern, one, re.DOTALL) for one in said), text


def _import_of(name: str) -> ModuleNotFoundError:
    with pytest.raises(ModuleNotFoundError) as said:
        importlib.import_module(name)
    return said.value


# Sections of a public guide, in `../shared/seeds` where it is, and the pages in their place.
GUIDE = {
    'Overview': 'reference/dataset.md',
    'Dataset Statistics': 'reference/dataset.md',
    'Dataset Structure': 'reference/dataset.md',
    'File Formats': 'rle_format.md',
    'Download Instructions': 'howto/download.md',
    'Data Loading': 'howto/load.md',
    'Preprocessing': 'howto/tables.md',
    'Usage Examples': 'howto/filter.md',
    'License & Terms': 'howto/licence.md',
    'Tools & Libraries': 'howto/annotation_tools.md',
    'Research Applications': 'howto/pretrain.md',
    'Performance Considerations': 'howto/performance.md',
    'Frequently Asked Questions': 'howto/faq.md',
}
_NO_PAGE = {'Table of Contents', 'Additional Resources', 'Conclusion'}


def _guide() -> dict[str, str]:
    for path in sorted((REPO.parent / 'shared' / 'seeds').glob('*.txt')):
        text = path.read_text()
        if text.startswith('# SA-1B Dataset: Complete Technical Guide'):
            parts = re.split(r'^## (.+)$', text, flags=re.M)
            return dict(zip(parts[1::2], parts[2::2], strict=True))
    pytest.skip('the guide is not here')


def test_every_section_of_the_guide_has_a_shorter_page():
    guide = _guide()
    assert set(guide) - _NO_PAGE <= set(GUIDE)
    for section, page in GUIDE.items():
        text = (REPO / 'docs' / page).read_text()
        if section in ('Download Instructions', 'Data Loading', 'Usage Examples', 'Preprocessing'):
            assert len(text) < len(guide[section]), section
    linked = (REPO / 'docs/howto/guide.md').read_text()
    for page in set(GUIDE.values()):
        assert page.rpartition('/')[2] in linked, page


def _is_made_by_the_site(page: pathlib.Path, target: str) -> bool:
    """Whether a link leads to a page that only the built site has."""
    place = pathlib.Path(os.path.relpath(page.parent / target, REPO / 'docs'))
    if place.parts[0] == 'learn' and place.stem != 'index':
        return (REPO / 'docs/tutorials' / f'{place.stem}.py').exists()
    made = ('learn', 'pictures', 'reference/python', 'reference/commands')
    return str(place).startswith(made)


def test_links_lead_somewhere():
    for page in PAGES:
        text = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
        for target in re.findall(r'\]\(([^)#\s]+)(?:#[^)]*)?\)', text):
            if '://' not in target:
                found = (page.parent / target).exists() or _is_made_by_the_site(page, target)
                assert found, f'{page}: {target}'
