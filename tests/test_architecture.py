"""Imports point one way, and the package stays free of what it must not do."""

import ast
import graphlib

import pytest
from building import REPO

PACKAGE = REPO / 'segment_anything_tfds'
FILES = sorted(PACKAGE.rglob('*.py'))

# Which of our folders a folder may import from, beside itself.
ALLOWED = {
    'source': set(),
    'ops': set(),
    'prepare': {'source'},
    'streaming': {'prepare', 'source'},
    'training': {'ops', 'source'},
    'report': {'ops', 'source', 'prepare'},
    'exchange': {'ops', 'source'},
    'arrays': {'source', 'streaming'},
    'actions': {'arrays', 'exchange', 'prepare', 'report', 'source', 'streaming', 'training'},
    'annotate': {'exchange', 'ops', 'prepare', 'source', 'training'},
    'cli': {'actions', 'annotate', 'exchange', 'ops', 'prepare', 'report', 'source', 'training'},
}
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


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    folder = path.relative_to(PACKAGE).parts[0]
    if folder not in ALLOWED:
        return
    for name in _imports(ast.parse(path.read_text())):
        parts = name.split('.')
        assert parts[0] not in FORBIDDEN_LIBRARIES.get(folder, ()), name
        if parts[0] == PACKAGE.name and len(parts) > 1 and parts[1] in ALLOWED:
            assert parts[1] in ALLOWED[folder] | {folder}, name


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
    assert folders == set(ALLOWED)
