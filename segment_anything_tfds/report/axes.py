"""What is measured of masks and images, and the bins in which it is counted."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Axis:
    """How a measure is counted: equal bins over [low, high], and one below and above each.

    Attributes:
      title: what it is, for a plot.
      low: start of the first bin.
      high: end of the last bin, which includes it.
      bins: how many.
    """

    title: str
    low: float
    high: float
    bins: int

    def count(self, values: np.ndarray) -> np.ndarray:
        """Returns int64 [bins + 2]: how many values lie below, in each bin, and above."""
        edges = np.linspace(self.low, self.high, self.bins + 1)
        edges[-1] = np.nextafter(self.high, np.inf)
        index = np.searchsorted(edges, values, side='right')
        return np.bincount(index, minlength=self.bins + 2)

    def edges(self) -> np.ndarray:
        """Returns float64 [bins + 1]."""
        return np.linspace(self.low, self.high, self.bins + 1)


AXES = {
    'relative_size': Axis('relative mask size: sqrt(mask area / image area)', 0, 1, 1000),
    'concavity': Axis('concavity: 1 - mask area / area of its convex hull', 0, 1, 1000),
    'coverage': Axis('coverage: share of the image that masks cover', 0, 1, 1000),
    'predicted_iou': Axis('predicted_iou', 0, 1.25, 1250),
    'stability_score': Axis('stability_score', 0, 1.25, 1250),
}
OF_IMAGES = ('coverage',)  # all others are of masks
