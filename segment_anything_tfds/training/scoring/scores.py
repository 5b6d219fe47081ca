"""IoUs by image, and the means, shares and intervals that they come to."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

SIZES = {'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, float('inf'))}
THRESHOLDS = (0.75, 0.9)
RESAMPLES = 1000


@dataclasses.dataclass
class Scores:
    """IoUs with the area of the true mask, and what they come to."""

    ious: list[float] = dataclasses.field(default_factory=list)
    areas: list[float] = dataclasses.field(default_factory=list)
    images: list[int] = dataclasses.field(default_factory=list)
    num_images: int = 0
    others: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def add(self, ious: np.ndarray, areas: np.ndarray, **others: np.ndarray) -> None:
        """Adds the masks of one image.

        Args:
          ious: float [N].
          areas: of the true masks in pixels [N].
          **others: further scores [N] whose means are wanted.
        """
        self.images.extend([self.num_images] * len(ious))
        self.num_images += 1
        self.ious.extend(np.asarray(ious, float).tolist())
        self.areas.extend(np.asarray(areas, float).tolist())
        for name, values in others.items():
            self.others.setdefault(name, []).extend(np.asarray(values, float).tolist())

    def summary(self) -> dict[str, Any]:
        """Gives `count`, `mean_iou` and its 95 % interval, the other means, and shares of masks.

        Sizes are COCO's: small below 32 x 32 pixels of the original image, large from 96 x 96 on.
        Means over nothing are None.
        """
        ious, areas = np.asarray(self.ious), np.asarray(self.areas)
        found = {'count': len(ious), 'mean_iou': mean(ious)}
        found['mean_iou_low'], found['mean_iou_high'] = interval(ious, np.asarray(self.images))
        for name, values in self.others.items():
            found[name] = mean(np.asarray(values))
        for name, (low, high) in SIZES.items():
            found[f'mean_iou_{name}'] = mean(ious[(areas >= low) & (areas < high)])
        for threshold in THRESHOLDS:
            found[f'share_above_{threshold:.2f}'] = mean(ious > threshold)
        return found


def interval(values: np.ndarray, images: np.ndarray) -> tuple[float | None, float | None]:
    """Gives the 95 % bootstrap interval of a mean over masks, images drawn with replacement.

    Masks of an image resemble each other, so images are drawn, not masks: the sums and the numbers
    of masks of 1,000 draws of as many images, from a fixed seed.

    Args:
      values: float [N].
      images: int [N], which image each mask is of.

    Returns:
      The 2.5 % and the 97.5 % quantile; None for no masks.
    """
    if not len(values):
        return None, None
    _, index = np.unique(images, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
    low, high = np.quantile((draws @ sums) / np.maximum(draws @ counts, 1), [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def mean(values: np.ndarray) -> float | None:
    """Takes the mean to six places; None for nothing."""
    return round(float(np.mean(values)), 6) if len(values) else None


def mean_of_datasets(summaries: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Averages each score of each prompt over data sets, every data set weighing the same.

    Args:
      summaries: of one model, as `evaluate_model` gives them, one a data set.

    Returns:
      The same of the means, and `count`, the sum; without intervals.
    """
    found: dict[str, dict[str, Any]] = {}
    for prompt in summaries[0] if summaries else ():
        rows = [summary[prompt] for summary in summaries]
        found[prompt] = {'count': sum(row['count'] for row in rows)}
        for name in rows[0]:
            values = [row[name] for row in rows if row.get(name) is not None]
            if name != 'count' and 'low' not in name and 'high' not in name:
                found[prompt][name] = mean(np.asarray(values))
    return found
