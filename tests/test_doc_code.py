"""Code in pages and scripts names what there is: checked in a second, also where nothing is run."""

import argparse
import ast
import importlib
import inspect
import re
import shlex

import pytest
import test_docs
from building import REPO

from segment_anything_tfds.cli import main

PACKAGE = 'segment_anything_tfds'
SCRIPTS = sorted((REPO / 'docs').glob('[tg]*/*.py')) + sorted((REPO / 'examples').glob('*.py'))
FRAMEWORKS = ('torch', 'grain')  # modules that need a package of that name


def _python() -> list[tuple[str, str]]:
    """Where code is, and the code: scripts, and all of a page's blocks together."""
    found = [(path.name, path.read_text()) for path in SCRIPTS]
    for page in test_docs.PAGES:
        blocks = [block for block in test_docs.blocks(page) if block[1] == 'python']
        codes = [code for _, _, code in blocks if not code.startswith('>>>')]
        if codes:
            found.append((page.name, '\n'.join(codes)))
    return found


def _shell() -> list[tuple[str, list[str]]]:
    """Where a `sa1b` command is, and its words."""
    found = []
    for page in test_docs.PAGES:
        for _, language, code in test_docs.blocks(page):
            for line in code.replace('\\\n', ' ').splitlines() if language == 'sh' else ():
                if line.startswith('sa1b '):
                    found.append((page.name, shlex.split(line, comments=True)[1:]))
    return found


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What imported names stand for, as dotted names in the package."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.asname or one.name: one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name: f'{node.module}.{one.name}' for one in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(
                node.targets[0].id, ast.unparse(node.value)
            )  # training = sa1b.training
    return found


def _dotted(text: str, aliases: dict[str, str]) -> str:
    first, dot, rest = text.partition('.')
    known = aliases.get(first, first)
    return (known if known == first else _dotted(known, aliases)) + dot + rest


def _check(dotted: str) -> None:
    """Goes along a dotted name, as far as modules, classes and functions reach."""
    value, path = importlib.import_module(PACKAGE), PACKAGE
    for name in dotted.split('.')[1:]:
        if name in FRAMEWORKS and path == PACKAGE:
            pytest.importorskip(name)
        if not hasattr(value, name) and inspect.ismodule(value):
            value = importlib.import_module(f'{path}.{name}')
        else:
            value = getattr(value, name)
        path = f'{path}.{name}'
        if not (inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)):
            return


@pytest.mark.parametrize('code', [pytest.param(code, id=where) for where, code in _python()])
def test_names_exist(code):
    tree = ast.parse(code)
    aliases = _aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition('.')[0] == PACKAGE:
            if (name := node.module.rpartition('.')[2]) in FRAMEWORKS:
                pytest.importorskip(name)
            importlib.import_module(node.module)
        if isinstance(node, (ast.Attribute, ast.Name)):
            text = ast.unparse(node)
            if re.fullmatch(r'[\w.]+', text):
                dotted = _dotted(text, aliases)
                if dotted.partition('.')[0] == PACKAGE and re.fullmatch(r'[\w.]+', dotted):
                    _check(dotted)


@pytest.mark.parametrize('words', [pytest.param(words, id=where) for where, words in _shell()])
def test_options_exist(words):
    parser = main.make_parser(words)
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    options = commands.choices[words[0]]._option_string_actions
    assert {word.partition('=')[0] for word in words if word.startswith('--')} <= set(options)
