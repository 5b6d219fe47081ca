"""Brush RLE for Label Studio, against label_studio_sdk's `mask2rle`, at 1500 x 2250.

    python benchmarks/tools.py --json tools.json

Ours begins with SA-1B's compressed strings; `mask2rle` takes a drawn mask, which is drawn for it
beforehand and not counted. Each side runs in a process of its own, the other after it, and its
memory is what that process needed at most beyond what it held before. `label_studio_sdk` may be
installed here, or in the environment that `.ci/tools` makes; without it only ours runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import _report

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE = (1500, 2250)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--masks', type=int, default=20)
    parser.add_argument('--side', choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument('--work', type=pathlib.Path, help=argparse.SUPPRESS)
    _report.add_arguments(parser)
    args = parser.parse_args()
    if args.side:
        SIDES[args.side](args.work)
        return
    report = _report.Report(['pycocotools'], note=args.note, file=args.json)
    with tempfile.TemporaryDirectory() as folder:
        compare(pathlib.Path(folder), args.masks, report)
    report.write()


def compare(work: pathlib.Path, num_masks: int, report: _report.Report) -> None:
    """Runs both sides on the same masks, and checks that they write the same pixels."""
    sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]
    import masks

    counts = masks.make(num_masks, size=SIZE)
    (work / 'counts.json').write_text(json.dumps([string.decode() for string in counts]))
    found = _run(sys.executable, 'ours', work)
    ours = report.time('ours: a mask', _report.Cost(*found['cost']), 'ms')
    rows = report.time('ours, of row-major runs: a mask', _report.Cost(*found['row_runs']), 'ms')
    report.value('ours: memory, MB', found['megabytes'])
    python = _python_with_sdk()
    if python is None:
        print('label_studio_sdk is not installed: see .ci/tools', file=sys.stderr)
        return
    other = _run(python, 'sdk', work)
    report.versions['label-studio-sdk'] = other['version']
    theirs = report.time('label_studio_sdk: a mask', _report.Cost(*other['cost']), 'ms')
    report.value('label_studio_sdk: memory, MB', other['megabytes'])
    report.ratio('label_studio_sdk / ours', theirs, ours)
    report.ratio('label_studio_sdk / ours, of row-major runs', theirs, rows)


def _python_with_sdk() -> str | None:
    if importlib.util.find_spec('label_studio_sdk'):
        return sys.executable
    tools = os.environ.get('SEGMENT_ANYTHING_TOOLS') or ROOT / 'build' / 'tools'
    path = pathlib.Path(tools) / 'readers' / 'bin' / 'python'
    return str(path) if path.exists() else None


def _run(python: str, side: str, work: pathlib.Path) -> dict:
    command = [python, __file__, '--side', side, '--work', str(work)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _memory(key: str) -> float:
    """Megabytes of this process: `VmRSS` now, `VmHWM` at most so far."""
    status = pathlib.Path('/proc/self/status').read_text()
    return int(re.search(rf'{key}:\s*(\d+) kB', status)[1]) / 1024


def _best(run, repeat: int = 5) -> _report.Cost:
    """The fastest of several runs; other work can only slow them down."""
    return min((_report.seconds(run) for _ in range(repeat)), key=lambda cost: cost.wall)


def run_ours(work: pathlib.Path) -> None:
    """From compressed strings to brushes; and once more from row-major runs on."""
    sys.path.insert(0, str(ROOT))
    from segment_anything_tfds.source.record import brush_rle, coco_rle

    counts = json.loads((work / 'counts.json').read_text())
    before = _memory('VmRSS')

    def encode():
        runs = [crop.runs for crop in coco_rle.to_row_runs(counts, SIZE, crop=False)]
        return brush_rle.encode(runs)

    brushes = encode()
    peak = _memory('VmHWM')
    cost = _best(encode)
    runs = [crop.runs for crop in coco_rle.to_row_runs(counts, SIZE, crop=False)]
    last = _best(lambda: brush_rle.encode(runs))
    (work / 'brushes.json').write_text(json.dumps([list(data) for data in brushes]))
    _print(cost, peak - before, len(counts), row_runs=_milliseconds(last, len(counts)))


def run_sdk(work: pathlib.Path) -> None:
    """From drawn masks to brushes; what we have written is read back, and must be these masks."""
    from label_studio_sdk.converter import brush
    from pycocotools import mask as coco_mask

    counts = json.loads((work / 'counts.json').read_text())
    ours = json.loads((work / 'brushes.json').read_text())
    costs, peak = [], 0.0
    for string, data in zip(counts, ours, strict=True):
        mask = coco_mask.decode({'size': list(SIZE), 'counts': string}) * 255
        before = _memory('VmRSS')
        found = []
        costs.append(
            _report.seconds(lambda mask=mask, found=found: found.append(brush.mask2rle(mask)))
        )
        peak = max(peak, _memory('VmHWM') - before)
        for one in (found[0], data):
            if not (brush.decode_rle(one).reshape(*SIZE, 4)[..., 3] == mask).all():
                raise SystemExit('the brushes are not of the same pixels')
    total = _report.Cost(sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs))
    _print(total, peak, len(counts), version=_report.version('label-studio-sdk'))


def _milliseconds(cost: _report.Cost, num_masks: int) -> list[float]:
    return [1000 * cost.wall / num_masks, 1000 * cost.cpu / num_masks]


def _print(cost: _report.Cost, megabytes: float, num_masks: int, **more: object) -> None:
    """Prints the figures of a side: milliseconds of one mask, and memory."""
    figures = {'cost': _milliseconds(cost, num_masks), 'megabytes': round(megabytes, 1), **more}
    print(json.dumps(figures))


SIDES = {'ours': run_ours, 'sdk': run_sdk}


if __name__ == '__main__':
    main()
