"""Makes the Markdown tables of the documentation from the reports in `benchmarks/results/`.

    python benchmarks/tables.py            prints them
    python benchmarks/tables.py --write    puts them between the marks in `PAGES`

A mark is a line `<!-- measured: NAME -->`, and `<!-- end -->` after the table. NAME is `all` for
every report, `summary` for a choice of rows, or a report's name.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'benchmarks' / 'results'
PAGES = ('docs/howto/performance.md',)
SIDES = ('ours', 'pycocotools', 'rlemasklib')  # columns, where rows are called `what: side`
# What the summary shows: report, our row and that of the other side, and both in words.
SUMMARY = [
    (
        'build',
        'ours, links: process',
        'TFDS: process',
        'build archives from links, imports included',
        "TFDS's own builder",
    ),
    (
        'build',
        'ours, files: process',
        'gzip -dc: process',
        'the same from files',
        '`gzip -dc` of the archives',
    ),
    *(
        ('rle', f'{case}: ours', f'{case}: {side}', words, against)
        for case, side, words, against in [
            ('decode', 'pycocotools', 'draw 100 masks in full', 'pycocotools'),
            ('decode', 'rlemasklib', 'the same', 'rlemasklib, in C'),
            (
                'decode_resized 256 × 256',
                'pycocotools',
                'draw them at 256 × 256',
                'pycocotools, `tf.image.resize`',
            ),
            ('decode_resized 256 × 256', 'rlemasklib', 'the same', 'rlemasklib, in C'),
            (
                'one random point a mask',
                'pycocotools',
                'one random point of each',
                'pycocotools, `np.nonzero`',
            ),
        ]
    ),
    (
        'input_pipeline',
        'ours, reduced: an image',
        'image only, reduced: an image',
        'image, 64 masks, points, boxes',
        'the image alone',
    ),
    (
        'download',
        'sa1b download --jobs 4',
        'aria2c -j 1 -x 4',
        'download through a bad line',
        '`aria2c -x 4`',
    ),
]
_MARK = re.compile(r'(<!-- measured: (\w+) -->\n).*?(<!-- end -->)', re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--write', action='store_true', help='put them into the pages')
    args = parser.parse_args()
    if not args.write:
        print(table('summary') + '\n' + table('all'))
        return
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text()))


def filled(text: str) -> str:
    """A page with what belongs between its marks."""
    return _MARK.sub(lambda mark: mark[1] + '\n' + table(mark[2]) + '\n' + mark[3], text)


def table(name: str) -> str:
    """What a mark stands for."""
    if name == 'summary':
        return summary()
    names = [path.stem for path in sorted(RESULTS.glob('*.json'))] if name == 'all' else [name]
    return '\n'.join(section(one) for one in names)


def load(name: str) -> dict:
    return json.loads((RESULTS / f'{name}.json').read_text())


def section(name: str) -> str:
    """Where and when a report was made, its times, and its figures."""
    report = load(name)
    lines = [f'### `benchmarks/{name}.py`', '', circumstances(report), '']
    times = {row['name']: row for row in report['rows'] if 'wall' in row}
    by_side = _by_side(times)
    if by_side:
        lines += _grid(['wall, CPU, cores', *SIDES], by_side) + ['']
    single = [row for row in times.values() if not _side(row['name'])[1]]
    if single:
        cells = [[row['name'], *_time(row), f'{row["cores"]:.1f}'] for row in single]
        lines += _grid(['', 'wall', 'CPU', 'cores'], cells) + ['']
    figures = [row for row in report['rows'] if 'value' in row]
    if figures:
        cells = [[r['name'], _digits(r['value']), _target(r)] for r in figures]
        lines += _grid(['', 'value', 'target'], cells) + ['']
    return '\n'.join(lines)


def circumstances(report: dict) -> str:
    """Date, machine, versions and note in a sentence each."""
    machine, versions = report['machine'], report['versions']
    found = ', '.join(f'{name} {version}' for name, version in versions.items() if version)
    absent = ', '.join(name for name, version in versions.items() if not version)
    text = f'{report["date"]}; {machine["cores"]} cores, {machine["processor"]}; '
    text += f'Python {report["python"]}, {found}.'
    text += f' Not installed: {absent}.' if absent else ''
    return f'{text} {report["note"]}'.rstrip()


def summary() -> str:
    """The short table: a row for each pair of `SUMMARY` whose report is here."""
    cells, dates = [], set()
    for name, ours, theirs, words, against in SUMMARY:
        if not (RESULTS / f'{name}.json').exists():
            continue
        report = load(name)
        rows = {row['name']: row for row in report['rows'] if 'wall' in row}
        if ours not in rows or theirs not in rows:
            continue
        mine, other = rows[ours], rows[theirs]
        dates.add(report['date'])
        ratios = [f'{_digits(other[key] / mine[key])}' for key in ('wall', 'cpu')]
        cells.append([words, _times(mine), against, _times(other), *ratios])
    head = ['what', 'wall, CPU, cores', 'against', 'wall, CPU, cores', 'wall ratio', 'CPU ratio']
    return '\n'.join([*_grid(head, cells), '', f'Measured on {" and ".join(sorted(dates))}.', ''])


def _by_side(times: dict[str, dict]) -> list[list[str]]:
    """A row a case, a column a side, where times are called `case: side`."""
    cases = dict.fromkeys(_side(name)[0] for name in times if _side(name)[1])
    return [[case, *(_times(times.get(f'{case}: {side}')) for side in SIDES)] for case in cases]


def _side(name: str) -> tuple[str, str]:
    """What was measured and whose it is, if the name ends with a side."""
    case, _, side = name.rpartition(': ')
    return (case, side) if side in SIDES else (name, '')


def _times(row: dict | None) -> str:
    return '' if row is None else f'{", ".join(_time(row))}, {row["cores"]:.1f}'


def _time(row: dict) -> list[str]:
    return [f'{_digits(row[key])} {row["unit"]}' for key in ('wall', 'cpu')]


def _target(row: dict) -> str:
    if row['target'] is None:
        return ''
    return f'{row["target"]}: {"met" if row["ok"] else "missed"}'


def _digits(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f'{float(f"{value:.3g}"):,.10g}'


def _grid(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ['---'] * len(head), *rows]
    return [f'| {" | ".join(cells)} |' for cells in lines]


if __name__ == '__main__':
    main()
