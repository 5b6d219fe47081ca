"""Makes the page of what functions give and take beside numbers, arrays and tensors.

Its classes live in modules that nobody imports by name, so that no other page has them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import sys

PACKAGE = 'segment_anything_tfds'
TITLE = 'What functions give'
TEXT = """\
Nobody makes these by hand: functions give them, call back with them, or raise them. The modules where
they live may change; their attributes do not.
"""
GIVEN = {
    'Data': (
        'exchange.records.Record',
        'source.record.annotations.Example',
        'source.access.archive_map.ArchiveIndex',
        'source.archive.pair_stream.Pair',
        'source.label_table.LabelTable',
    ),
    'Faults': (
        'source.faults.DataError',
        'source.faults.Fault',
    ),
    'Reports': (
        'actions.fleet.Outcome',
        'source.archive.verification.Report',
        'report.dataset_stats.Statistics',
        'source.meter.Progress',
    ),
    'Pictures and predictions': (
        'report.picture.Picture',
        'actions.learning.predict_masks.Prediction',
        'training.prediction.onnx_export.Exported',
    ),
    'Masks and geometry': (
        'ops.rle.core.boundaries.Masks',
        'ops.rle.tree.Hierarchy',
        'source.record.rle.nesting.Hierarchy',
        'source.record.rle.components.Cleaned',
        'source.record.rle.components.Components',
        'source.record.rle.row_runs.RowRuns',
        'ops.geometries.Geometry',
    ),
}
# What is in them is nobody's business.
OPAQUE = ('ops.rle.core.boundaries.Masks', 'source.label_table.LabelTable')


def page() -> str:
    """The page, in reStructuredText."""
    lines = [TITLE, '=' * len(TITLE), '', TEXT]
    for group, names in GIVEN.items():
        lines += [group, '-' * len(group), '']
        for name in names:
            lines += _opaque(name) if name in OPAQUE else [f'.. autoclass:: {PACKAGE}.{name}']
            lines += ['' if name in OPAQUE else '   :members:', '']
    return '\n'.join(lines)


def _opaque(name: str) -> list[str]:
    """An entry of a class that is passed on and not looked into."""
    module, _, kind = name.rpartition('.')
    text = inspect.getdoc(getattr(importlib.import_module(f'{PACKAGE}.{module}'), kind))
    return [f'.. py:class:: {PACKAGE}.{name}', '', f'   {text.splitlines()[0]}']


def signature_of(app, what, name, value, options, signature, returns):
    """Leaves out how a class of the page is made; connected to `autodoc-process-signature`."""
    if what == 'class' and name.removeprefix(f'{PACKAGE}.') in itertools.chain(*GIVEN.values()):
        return '', ''
    return signature and signature.replace('<factory>', '...'), returns  # which is no Python


def import_what_only_type_checkers_do() -> None:
    """Runs the imports under `if TYPE_CHECKING:`, without which signatures keep bare names."""
    for name, module in sorted(sys.modules.items()):
        if name.partition('.')[0] != PACKAGE or not getattr(module, '__file__', None):
            continue
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
                code = compile(ast.Module(node.body, []), module.__file__, 'exec')
                exec(code, vars(module))


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect('autodoc-process-signature', signature_of)
    return {'parallel_read_safe': True}
