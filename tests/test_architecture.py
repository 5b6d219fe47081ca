"""Imports point one way, and the package stays free of what it must not do."""

import ast
import graphlib

import pytest
from building import REPO

PACKAGE = REPO / 'segment_anything_tfds'
FILES = sorted(PACKAGE.rglob('*.py'))

BUILDER = 'segment_anything_dataset_builder.py'


def _arrows() -> dict[str, set[str]]:
    """Which of our folders a folder or module imports from, as ARCHITECTURE.md says."""
    text = (REPO / 'ARCHITECTURE.md').read_text().partition('Imports point one way')[2]
    found = {}
    for line in text.split('```')[1].strip().splitlines():
        left, right = ([name.strip() for name in side.split(',')] for side in line.split('->'))
        targets = set() if right == ['nothing else here'] else set(right)
        found |= {BUILDER if name == 'the builder' else name: targets for name in left}
    return found


ARROWS = _arrows()
FOLDERS = {name for name in ARROWS if not name.endswith('.py')}
FORBIDDEN_LIBRARIES = {
    'source': {'tensorflow', 'tensorflow_datasets', 'apache_beam', 'keras'},
    'arrays': {'tensorflow', 'apache_beam', 'keras'},
    'ops': {'tensorflow_datasets', 'apache_beam', 'pycocotools'},
    'prepare': {'tensorflow', 'keras'},
}


def _imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def _targets(path) -> set[str]:
    """The folders of ours, beside its own, that a module imports from."""
    names = [name.split('.') for name in _imports(ast.parse(path.read_text()))]
    found = {parts[1] for parts in names if parts[0] == PACKAGE.name and len(parts) > 1}
    return (found & FOLDERS) - {path.relative_to(PACKAGE).parts[0]}


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    place = path.relative_to(PACKAGE).parts[0]
    assert _targets(path) <= ARROWS.get(place, FOLDERS)
    libraries = {name.split('.')[0] for name in _imports(ast.parse(path.read_text()))}
    assert not libraries & FORBIDDEN_LIBRARIES.get(place, set())


@pytest.mark.parametrize('place', ARROWS)
def test_every_arrow_is_an_import(place):
    paths = [path for path in FILES if path.relative_to(PACKAGE).parts[0] == place]
    assert set().union(*map(_targets, paths)) == ARROWS[place]


def _name(path) -> str:
    parts = path.relative_to(REPO).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _imported_with_it(tree: ast.Module) -> ast.Module:
    """What runs when a module is imported, and what only type checkers read: no functions."""
    kept = [n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return ast.Module(kept, [])


def test_no_module_imports_itself_through_others():
    ours = {_name(path): path for path in FILES}
    graph = {}
    for module, path in ours.items():
        found = _imports(_imported_with_it(ast.parse(path.read_text())))
        found = {name if name in ours else name.rpartition('.')[0] for name in found}
        graph[module] = (found & ours.keys()) - {module}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_asserted_on_input(path):
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_every_folder_has_its_place():
    folders = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert folders == FOLDERS
