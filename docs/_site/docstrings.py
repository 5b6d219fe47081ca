"""Turns what our docstrings have beside Google's style into what Sphinx reads."""

from __future__ import annotations

import re
from collections import namedtuple

from sphinx.domains.python import PyObject

_FIELD = type(namedtuple('_FIELD', 'x').x)
# Names of other projects in signatures; their documentation is not at hand offline.
OTHERS = (
    r'(tf|tensorflow|tfds|tensorflow_datasets|np|numpy|keras|keras_hub|PIL|Image|apache_beam|beam|grain|torch)(\..*)?',
    r'(pathlib|collections|typing|abc|os|enum|datetime|types|argparse|threading)\..*',
    r'(optional|callable|function|iterable|array|array_like|Callable|Iterable|Iterator|Sequence|Mapping|Path|Any|Literal).*',
    r'DatasetBlockedError|tf\.errors\..*',
)


def as_rst(app, what, name, value, options, lines: list[str]) -> None:
    """Changes the lines of a docstring in place; connected to `autodoc-process-docstring`."""
    found = _with_code(lines)
    lines.clear()
    while found:
        line = found.pop(0)
        if re.fullmatch(r'\s*\|.*\|', line) and found and re.fullmatch(r'\s*[|\-: ]+', found[0]):
            found.pop(0)
            rows = [line]
            while found and re.fullmatch(r'\s*\|.*\|', found[0]):
                rows.append(found.pop(0))
            lines += _table(rows)
        elif together := re.match(r'(\s*:ivar )(\w+(?:, \w+)+)(:.*)', line):
            # Sphinx takes what stands before a space for a type.
            lines.append(together[1] + together[2].replace(' ', '\u200b') + together[3])
        else:
            lines.append(re.sub(r'(?<![\\|`])\|', r'\|', line))  # |A| is no substitution here


def _with_code(lines: list[str]) -> list[str]:
    """The lines, where what is indented under a paragraph is code."""
    found: list[str] = []
    for line in lines:
        if line.startswith('    ') and (not found or not found[-1]):
            before = next((other for other in reversed(found) if other), '')
            if before[:1] not in (' ', ':', '.', '-', '*'):
                found += ['::', '']
        found.append(line)
    return found


def skip(app, what, name, value, skip, options) -> bool | None:
    """Leaves out the fields of tuples, which the text of their class names already."""
    return True if isinstance(value, _FIELD) else None


def _table(rows: list[str]) -> list[str]:
    """A table of Markdown as a list-table."""
    indent = re.match(r'\s*', rows[0])[0]
    out = [f'{indent}.. list-table::', f'{indent}   :header-rows: 1', '']
    for row in rows:
        cells = [cell.strip() for cell in row.strip().strip('|').split('|')]
        for number, cell in enumerate(cells):
            out.append(f'{indent}   {"* -" if number == 0 else "  -"} {cell}')
    return [*out, '']


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect('autodoc-process-docstring', as_rst)
    app.connect('autodoc-skip-member', skip)
    for field in PyObject.doc_field_types:
        if field.name == 'variable':
            field.label = 'Attributes'  # as our docstrings call them
    return {'parallel_read_safe': True}
