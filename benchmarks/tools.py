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
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE = (1500, 2250)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--masks', type=int, default=20)
    parser.add_argument('--json', type=pathlib.Path, help='write the figures')
    parser.add_argument('--side', choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument('--work', type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        SIDES[args.side](args.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = compare(pathlib.Path(folder), args.masks)
    for name, row in found.items():
        print(f'{name:20} {row}')
    if args.json:
        args.json.write_text(json.dumps(found, indent=2))


def compare(work: pathlib.Path, num_masks: int) -> dict:
    """Runs both sides on the same masks, and checks that they write the same pixels."""
    sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]
    import masks

    counts = masks.make(num_masks, size=SIZE)
    (work / 'counts.json').write_text(json.dumps([string.decode() for string in counts]))
    found = {'ours': _run(sys.executable, 'ours', work)}
    python = _python_with_sdk()
    if python is None:
        print('label_studio_sdk is not installed: see .ci/tools', file=sys.stderr)
        return found
    found['label_studio_sdk'] = _run(python, 'sdk', work)
    ours, theirs = found['ours'], found['label_studio_sdk']
    found['times as fast'] = {
        'wall': round(theirs['seconds'] / ours['seconds'], 1),
        'cpu': round(theirs['cpu_seconds'] / ours['cpu_seconds'], 1),
        'wall, of row-major runs': round(theirs['seconds'] / ours['seconds_from_row_runs'], 1),
        'memory': round(theirs['megabytes'] / max(ours['megabytes'], 0.1), 1),
    }
    return found


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


def _best(run, repeat: int = 5) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of several runs; other work can only slow them down."""
    runs = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in runs), min(cpu for _, cpu in runs)


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
    wall, cpu = _best(encode)
    runs = [crop.runs for crop in coco_rle.to_row_runs(counts, SIZE, crop=False)]
    last, _ = _best(lambda: brush_rle.encode(runs))
    (work / 'brushes.json').write_text(json.dumps([list(data) for data in brushes]))
    _report(wall, cpu, peak - before, len(counts), seconds_from_row_runs=last / len(counts))


def run_sdk(work: pathlib.Path) -> None:
    """From drawn masks to brushes; what we have written is read back, and must be these masks."""
    from label_studio_sdk.converter import brush
    from pycocotools import mask as coco_mask

    counts = json.loads((work / 'counts.json').read_text())
    ours = json.loads((work / 'brushes.json').read_text())
    walls, cpus, peak = [], [], 0.0
    for string, data in zip(counts, ours, strict=True):
        mask = coco_mask.decode({'size': list(SIZE), 'counts': string}) * 255
        before = _memory('VmRSS')
        wall, cpu = time.perf_counter(), time.process_time()
        found = brush.mask2rle(mask)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        peak = max(peak, _memory('VmHWM') - before)
        for one in (found, data):
            if not (brush.decode_rle(one).reshape(*SIZE, 4)[..., 3] == mask).all():
                raise SystemExit('the brushes are not of the same pixels')
    _report(sum(walls), sum(cpus), peak, len(counts))


def _report(wall: float, cpu: float, megabytes: float, num_masks: int, **more: float) -> None:
    """Prints the figures of a side, of one mask each."""
    print(
        json.dumps(
            {
                'masks': num_masks,
                'seconds': wall / num_masks,
                'cpu_seconds': cpu / num_masks,
                'megabytes': round(megabytes, 1),
                **more,
            }
        )
    )


SIDES = {'ours': run_ours, 'sdk': run_sdk}


if __name__ == '__main__':
    main()
