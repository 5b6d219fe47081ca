"""One side of `input_pipeline.py`: masks and prompts in a PyTorch data loader."""

from __future__ import annotations

import io
import os
import time

import _report
import masks as masks_lib
import numpy as np
import psutil
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = masks_lib.SIZE
SIDE, GRID, CHOSEN = 1024, 256, 64


def prompts(drawn: np.ndarray, boxes: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """A random pixel of each mask, and its box with SAM's noise, in pixels of the 1024 image."""
    points = np.zeros([len(drawn), 2], np.float32)
    for index, mask in enumerate(drawn):
        rows, columns = np.nonzero(mask)
        if len(rows):
            pick = rng.integers(len(rows))
            points[index] = columns[pick], rows[pick]
    boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    sides = (boxes[:, 2:] - boxes[:, :2])[:, [0, 1, 0, 1]]
    noise = np.clip(rng.normal(size=boxes.shape) * 0.1 * sides, -20, 20)
    return points * (SIDE / WIDTH), ((boxes + noise) * (SIDE / WIDTH)).astype(np.float32)


class TorchDataset:
    """(d) As the peers' data sets: PIL, every mask with pycocotools, then 64 of them, resized."""

    def __init__(self, examples: list[dict], length: int):
        self.examples, self.length = examples, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        import torch
        from torch.nn import functional

        example = self.examples[index % len(self.examples)]
        rng = np.random.default_rng(index)
        image = Image.open(io.BytesIO(example['image']['content'])).convert('RGB')
        pixels = np.asarray(image.resize((SIDE, 683), Image.Resampling.BILINEAR))
        pixels = np.pad(pixels, [(0, SIDE - 683), (0, 0), (0, 0)])
        counts = example['annotations']['segmentation']['counts']
        rles = [{'size': [HEIGHT, WIDTH], 'counts': c} for c in counts]
        drawn = np.stack([coco_mask.decode(rle) for rle in rles])
        chosen = rng.choice(len(drawn), CHOSEN, replace=False)
        drawn = drawn[chosen]
        points, boxes = prompts(drawn, coco_mask.toBbox([rles[i] for i in chosen]), rng)
        small = functional.interpolate(torch.from_numpy(drawn)[:, None], (171, GRID))[:, 0]
        small = functional.pad(small, (0, 0, 0, GRID - 171))
        return torch.from_numpy(pixels), small, torch.from_numpy(points), torch.from_numpy(boxes)


def torch_cost(examples: list[dict], count: int) -> _report.Cost:
    """Milliseconds an example of the PyTorch way, a worker a core.

    As many examples are on their way when the clock stops as when it starts.
    """
    import torch

    workers = os.cpu_count()
    ahead = 2 * workers  # what a loader has on its way
    data = TorchDataset(examples, 2 * ahead + count)
    stream = iter(torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers))
    for _ in range(ahead):
        next(stream)
    start, cpu = time.perf_counter(), _cpu_with_workers()
    for _ in range(count):
        next(stream)
    wall, cpu = time.perf_counter() - start, _cpu_with_workers() - cpu
    return _report.Cost(1000 * wall / count, 1000 * cpu / count)


def _cpu_with_workers() -> float:
    """CPU seconds of this process and of its children that run."""
    process = psutil.Process()
    times = [one.cpu_times() for one in [process, *process.children()]]
    return sum(one.user + one.system for one in times)
