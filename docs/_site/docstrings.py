"""Turns what our docstrings have beside Google's style into what Sphinx reads."""

from __future__ import annotations

import re

# Names of other projects in signatures; their documentation is not at hand offline.
OTHERS = (
    r'(tf|tensorflow|tfds|tensorflow_datasets|np|numpy|keras|keras_hub|PIL|Image|apache_beam|beam|grain|torch)(\..*)?',
    r'(pathlib|collections|typing|abc|os|enum|datetime|types|argparse|threading)\..*',
    r'(optional|callable|function|iterable|array|array_like|Callable|Iterable|Iterator|Sequence|Mapping|Path|Any|Literal).*',
    r'DatasetBlockedError|tf\.errors\..*',
)


def as_rst(app, what, name, value, options, lines: list[str]) -> None:
    """Changes the lines of a docstring in place; connected to `autodoc-process-docstring`."""
    found = list(lines)
    lines.clear()
    while found:
        line = found.pop(0)
        if (
            line.endswith(':')
            and len(found) > 1
            and not found[0]
            and _indent(found[1]) > _indent(line)
        ):
            lines.append(f'{line}:')  # code
        elif re.fullmatch(r'\s*\|.*\|', line) and found and re.fullmatch(r'\s*[|\-: ]+', found[0]):
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


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


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
    return {'parallel_read_safe': True}
