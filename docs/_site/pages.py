"""Makes the pages that the code itself knows: Python's names, the commands, the features.

A Sphinx extension. It writes `reference/python/` and `reference/commands/` before the sources are
read, so that a page can neither be forgotten nor grow old.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import os
import pathlib
import re
import types

import notebooks
import numpy as np
import values
from sphinx.util.docutils import SphinxDirective

import segment_anything_tfds as sa1b
from segment_anything_tfds.cli import main as command

PACKAGE = 'segment_anything_tfds'
# Tutorials that need packages which only the extra `docs` installs.
NEEDED = {
    '03_pytorch': ('torch',),
    '04_jax_grain': ('grain', 'jax'),
    '05_bucket_and_cluster': ('moto', 's3fs'),
}
# The function behind each command.
IN_PYTHON = {name: name for name in command.COMMANDS if name != 'demo'}
IN_PYTHON |= {'import': 'import_data', 'annotate': 'annotate.write_archives'}
# Public modules that need another package, and are imported by name.
FRAMEWORKS = ('grain', 'torch')


def public_modules() -> dict[str, types.ModuleType]:
    """Finds the public modules: the package, and each module that an `__all__` names."""
    found = {PACKAGE: sa1b}
    waiting = [PACKAGE]
    while waiting:
        name = waiting.pop(0)
        for child in names(found[name]):
            value = getattr(found[name], child)
            if inspect.ismodule(value):
                found[f'{name}.{child}'] = value
                waiting.append(f'{name}.{child}')
    for framework in FRAMEWORKS:
        if importlib.util.find_spec(framework):
            name = f'{PACKAGE}.{framework}'
            found[name] = importlib.import_module(name)
    return dict(sorted(found.items()))


def names(module: types.ModuleType) -> list[str]:
    """Lists a module's public names, without those with underscores."""
    listed = getattr(module, '__all__', None)
    if listed is None:
        listed = [
            name
            for name, value in vars(module).items()
            if getattr(value, '__module__', None) == module.__name__
        ]
    return sorted(name for name in listed if not name.startswith('_'))


def _write_python(folder: pathlib.Path) -> None:
    seen: dict[int, str] = {}
    modules = public_modules()
    for path, module in sorted(modules.items(), key=lambda item: item[0].count('.')):
        _write_if_changed(folder / f'{path}.rst', _module_page(path, module, seen))
    _write_if_changed(folder / 'values.rst', values.page())
    listing = '\n'.join(f'   {path}' for path in [*modules, 'values'])
    _write_if_changed(
        folder / 'index.rst',
        f'Python\n======\n\nWhat ``import {PACKAGE} as sa1b`` offers. Modules are imported when they'
        f' are first used.\n\n.. toctree::\n   :maxdepth: 1\n\n{listing}\n',
    )


def _module_page(path: str, module: types.ModuleType, seen: dict[int, str]) -> str:
    title = path.replace(PACKAGE, 'sa1b', 1)
    lines = [title, '=' * len(title), '', f'.. py:module:: {path}', '']
    # `sa1b.rle` is an attribute, not a module of that name: the text is taken from where it lives.
    lines += [f'.. automodule:: {module.__name__}', '   :no-index:', '']
    lines += [f'.. py:currentmodule:: {path}', '']
    for name in names(module):
        lines += _entry(path, name, getattr(module, name), seen)
    return '\n'.join(lines) + '\n'


def _entry(path: str, name: str, value: object, seen: dict[int, str]) -> list[str]:
    full = f'{path}.{name}'
    if inspect.ismodule(value):
        return []
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return [f'.. py:data:: {name}', '', f'   {_short(value)}', '']
    if id(value) in seen:
        kind = 'class' if inspect.isclass(value) else 'function'
        return [f'.. py:{kind}:: {name}', '', f'   The same as :py:obj:`{seen[id(value)]}`.', '']
    seen[id(value)] = full
    if inspect.isclass(value):
        return [f'.. autoclass:: {full}', '   :members:', '']
    lines = [f'.. autofunction:: {full}', '']
    for other, inner in vars(value).items():  # `records.write`
        if inspect.isfunction(inner) and not other.startswith('_'):
            lines += _entry(full, other, inner, seen)
    return lines


def _short(value: object) -> str:
    text = re.sub(r'\s+', ' ', repr(value))
    return f'``{text}``' if len(text) < 200 else f'A {type(value).__name__}.'


def _write_commands(folder: pathlib.Path) -> None:
    overview = _help([])
    commands = command.COMMANDS
    for name in commands:
        text = f'# sa1b {name}\n\n```text\n{_help([name])}\n```\n'
        if name in IN_PYTHON:
            text += f'\nIn Python: {{py:obj}}`{PACKAGE}.{IN_PYTHON[name]}`.\n'
        _write_if_changed(folder / f'{name}.md', text)
    listing = '\n'.join(commands)
    _write_if_changed(
        folder / 'index.md',
        f'# Commands\n\n```text\n{overview}\n```\n\n```{{toctree}}\n:maxdepth: 1\n\n{listing}\n```\n',
    )


def _help(args: list[str]) -> str:
    said = io.StringIO()
    os.environ['COLUMNS'] = '80'
    with contextlib.redirect_stdout(said):
        command.main([*args, '--help'])
    return said.getvalue().strip()


_written: set[pathlib.Path] = set()


def _write_if_changed(path: pathlib.Path, text: str) -> None:
    _written.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _not_installed() -> list[str]:
    """Lists the tutorials that need packages which are not there."""
    return [
        name
        for name, packages in NEEDED.items()
        if not all(map(importlib.util.find_spec, packages))
    ]


def gallery_settings(docs: pathlib.Path) -> dict:
    """Settings of sphinx-gallery: what runs, and which pictures it takes up."""
    shown_only = '|'.join(_not_installed()) or '$^'
    install = f'# Where the package is not installed yet, as in Colab:\n{notebooks.install()}'
    return {
        'examples_dirs': [str(docs / 'tutorials'), str(docs / 'gallery')],
        'gallery_dirs': ['learn', 'pictures'],
        'filename_pattern': rf'^(?!.*({shown_only})).*\.py$',
        'within_subsection_order': 'FileNameSortKey',
        'image_scrapers': (NewPictures(),),
        'first_notebook_cell': install,
        'default_thumb_file': str(docs / 'images' / 'demo.png'),
        'download_all_examples': False,
        'show_signature': False,
        'remove_config_comments': True,
        'abort_on_example_error': True,
        'capture_repr': ('_repr_html_', '__repr__'),
        'min_reported_time': 10_000,
        'write_computation_times': False,
    }


class NewPictures:
    """Takes up the PNG files that a block of a script wrote."""

    def __init__(self):
        self._seen: set[tuple[str, int]] = set()

    def __repr__(self) -> str:
        return 'NewPictures'  # the same in every run: sphinx-gallery keeps settings by it

    def __call__(self, block, block_vars, gallery_conf) -> str:
        from sphinx_gallery.scrapers import figure_rst

        folder = pathlib.Path(block_vars['src_file']).parent
        saved = []
        for path in sorted(folder.glob('*.png')):
            target = pathlib.Path(next(block_vars['image_path_iterator']))
            path.rename(target)
            saved.append(str(target))
        return figure_rst(saved, gallery_conf['src_dir'])


def _make_pages(app) -> None:
    public_modules()
    values.import_what_only_type_checkers_do()
    reference = pathlib.Path(app.srcdir) / 'reference'
    _written.clear()
    _write_python(reference / 'python')
    _write_commands(reference / 'commands')
    for folder in ('python', 'commands'):
        for path in set((reference / folder).iterdir()) - _written:
            path.unlink()  # of a name that is no more


class Features(SphinxDirective):
    """A table of the features that the builder declares."""

    def run(self) -> list:
        """Called by Sphinx."""
        features = sa1b.Builder(data_dir=self.env.app.outdir).info.features
        lines = ['| feature | class | shape | dtype | what |', '|---|---|---|---|---|']
        for row in features.catalog_documentation():
            shape = row.tensor_info.shape if row.tensor_info else ''
            dtype = np.dtype(row.tensor_info.np_dtype).name if row.tensor_info else ''
            dtype = dtype.replace('object', 'string')
            cells = [f'`{row.name}`', row.cls_name, str(shape), dtype, row.description or '']
            if row.name:
                lines.append(f'| {" | ".join(cells)} |')
        return self.parse_text_to_nodes('\n'.join(lines))


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect('builder-inited', _make_pages)
    app.add_directive('features', Features)
    return {'parallel_read_safe': True}
