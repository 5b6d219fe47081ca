"""Statistics of images and masks, as in section 5 of the SAM paper.

Each worker counts what lies in its archive or shard; the counts are added up. All histograms and
numbers are exact. Means are sums of float64, so adding in another order changes their last digits
only. Quantiles are read from histograms, and off by less than the width of a bin.
"""

from __future__ import annotations

import dataclasses
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from segment_anything_tfds.report import mask_shapes
from segment_anything_tfds.report.axes import AXES, OF_IMAGES, Axis
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.record import coco_rle

__all__ = ['AXES', 'OF_IMAGES', 'QUANTILES', 'Axis', 'Statistics', 'total']

CENTER_BINS = 100
FAULTS_KEPT = 20
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TREE = {
    'depth': 'masks by how many masks they lie in, one in another; 0 for a whole',
    'children': 'masks by how many masks are their next parts',
}


def _zero_histograms() -> dict[str, np.ndarray]:
    return {name: np.zeros(axis.bins + 2, np.int64) for name, axis in AXES.items()}


@dataclasses.dataclass
class Statistics:
    """What was counted so far; `+` adds up two of them.

    Attributes:
      units: archives and shards that were counted.
      images: how many.
      masks: how many.
      empty_masks: masks without a pixel; they have no centre, and no concavity.
      unscored_masks: masks that people have made or changed; they have no scores.
      masks_per_image: images by their number of masks.
      image_sizes: images by (height, width).
      depth: masks by depth in the tree of `coco_rle.hierarchy`, 0 for a root.
      children: masks by their number of children in that tree.
      centers: int64 [CENTER_BINS, CENTER_BINS], masks by y and x of their centre of mass, each
        relative to the image.
      histograms: by name in `AXES`, int64 [bins + 2].
      sums: by name in `AXES`, the sum of all values.
      faults: what was left out, by reason.
      first_faults: some of it, for a person.
    """

    units: int = 0
    images: int = 0
    masks: int = 0
    empty_masks: int = 0
    unscored_masks: int = 0
    masks_per_image: Counter = dataclasses.field(default_factory=Counter)
    image_sizes: Counter = dataclasses.field(default_factory=Counter)
    depth: Counter = dataclasses.field(default_factory=Counter)
    children: Counter = dataclasses.field(default_factory=Counter)
    centers: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros((CENTER_BINS, CENTER_BINS), np.int64)
    )
    histograms: dict[str, np.ndarray] = dataclasses.field(default_factory=_zero_histograms)
    sums: Counter = dataclasses.field(default_factory=Counter)
    faults: Counter = dataclasses.field(default_factory=Counter)
    first_faults: list[str] = dataclasses.field(default_factory=list)

    def add_fault(self, fault: faults.Fault) -> None:
        """Counts what is left out."""
        self.faults[fault.reason] += 1
        self.first_faults = [*self.first_faults, str(fault)][:FAULTS_KEPT]

    def add(
        self,
        size: Sequence[int],
        counts: Sequence[bytes],
        predicted_iou: np.ndarray,
        stability_score: np.ndarray,
    ) -> None:
        """Counts one image.

        Args:
          size: [height, width] of the image.
          counts: N compressed strings in COCO RLE.
          predicted_iou: float [N]; of masks without scores it is not counted.
          stability_score: float [N]; below 0 for masks without scores.

        Raises:
          ValueError: a mask is malformed; see `mask_shapes.measure`.
        """
        height, width = map(int, size)
        measured = mask_shapes.measure(counts, (height, width))
        full = measured.areas > 0
        self.images += 1
        self.masks += len(counts)
        self.empty_masks += int((~full).sum())
        self.masks_per_image[len(counts)] += 1
        self.image_sizes[height, width] += 1
        tree = coco_rle.hierarchy(counts, (height, width))
        self.depth.update(tree.depth.tolist())
        parents = tree.parents[tree.parents >= 0]
        self.children.update(np.bincount(parents, minlength=len(counts)).tolist())
        x, y = (measured.centers[full] / (width, height)).T
        bins = [np.minimum((part * CENTER_BINS).astype(int), CENTER_BINS - 1) for part in (y, x)]
        np.add.at(self.centers, tuple(bins), 1)
        scored = np.asarray(stability_score) >= 0  # as `carried.is_scored`
        self.unscored_masks += int((~scored).sum())
        values = {
            'relative_size': np.sqrt(measured.areas / (height * width)),
            'concavity': 1 - measured.areas[full] / measured.hull_areas[full],
            'coverage': np.array([measured.covered / (height * width)]),
            'predicted_iou': np.asarray(predicted_iou)[scored],
            'stability_score': np.asarray(stability_score)[scored],
        }
        for name, column in values.items():
            self.histograms[name] += AXES[name].count(column)
            self.sums[name] += float(column.sum())

    def __add__(self, other: Statistics) -> Statistics:
        total = Statistics()
        for part in (self, other):
            for field in dataclasses.fields(Statistics):
                value = getattr(part, field.name)
                if field.name == 'histograms':
                    for name, histogram in value.items():
                        total.histograms[name] += histogram
                elif isinstance(value, Counter):
                    getattr(total, field.name).update(value)
                else:
                    setattr(total, field.name, getattr(total, field.name) + value)
        total.first_faults = total.first_faults[:FAULTS_KEPT]
        return total

    def quantile(self, name: str, share: float) -> float:
        """Gives the value below which a share of all values lies; off by less than one bin."""
        axis, histogram = AXES[name], self.histograms[name]
        if not histogram.sum():
            return float('nan')
        at = np.searchsorted(np.cumsum(histogram), share * histogram.sum())
        # of the bin below, of all bins, and of the one above
        centers = (
            axis.low + (np.arange(-1, axis.bins + 1) + 0.5) * (axis.high - axis.low) / axis.bins
        )
        return float(centers[at])

    def mean(self, name: str) -> float:
        """Gives the mean of all values; NaN where there is none."""
        total = self.histograms[name].sum()
        return self.sums[name] / total if total else float('nan')

    def to_json(self) -> dict[str, Any]:
        """Gives all numbers, as JSON values; `from_json` reads them back."""
        per_image = sorted(self.masks_per_image.items())
        return {
            'units': self.units,
            'images': self.images,
            'masks': self.masks,
            'empty_masks': self.empty_masks,
            'unscored_masks': self.unscored_masks,
            'faults': dict(sorted(self.faults.items())),
            'first_faults': self.first_faults,
            'masks_per_image': {
                'mean': self.masks / self.images if self.images else None,
                'counts': {str(masks): images for masks, images in per_image},
            },
            'image_sizes': [
                {'height': height, 'width': width, 'images': count}
                for (height, width), count in sorted(self.image_sizes.items())
            ],
            **{
                name: {
                    'meaning': meaning,
                    'counts': {str(n): masks for n, masks in sorted(getattr(self, name).items())},
                }
                for name, meaning in _TREE.items()
            },
            'centers': {
                'meaning': 'masks by [y, x] of their centre of mass, relative to the image',
                'counts': self.centers.tolist(),
            },
            **{name: self._axis_to_json(name) for name in AXES},
        }

    def _axis_to_json(self, name: str) -> dict[str, Any]:
        axis, histogram = AXES[name], self.histograms[name]
        known = bool(histogram.sum())
        return {
            'meaning': axis.title,
            'sum': self.sums[name],
            'mean': self.mean(name) if known else None,
            'quantiles': {
                str(share): self.quantile(name, share) if known else None for share in QUANTILES
            },
            'quantile_error': (axis.high - axis.low) / axis.bins,
            'low': axis.low,
            'high': axis.high,
            'below': int(histogram[0]),
            'counts': histogram[1:-1].tolist(),
            'above': int(histogram[-1]),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Statistics:
        """Reads what `to_json` gave.

        Raises:
          ValueError: it is something else.
        """
        try:
            return cls(
                units=operator.index(content['units']),
                images=operator.index(content['images']),
                masks=operator.index(content['masks']),
                empty_masks=operator.index(content['empty_masks']),
                unscored_masks=operator.index(content['unscored_masks']),
                **{
                    name: _read_numbers(content[name]['counts'])
                    for name in ('masks_per_image', *_TREE)
                },
                image_sizes=Counter(
                    {
                        (row['height'], row['width']): operator.index(row['images'])
                        for row in content['image_sizes']
                    }
                ),
                centers=_read_counts(content['centers']['counts'], (CENTER_BINS, CENTER_BINS)),
                histograms={
                    name: _read_histogram(axis, content[name]) for name, axis in AXES.items()
                },
                sums=Counter({name: float(content[name]['sum']) for name in AXES}),
                faults=Counter({name: operator.index(n) for name, n in content['faults'].items()}),
                first_faults=list(content['first_faults']),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                '`stats.from_json`: expected what `sa1b stats --json` prints; got something else '
                f'({type(error).__name__}: {error}). Count again.'
            ) from None


def _read_numbers(counts: dict[str, int]) -> Counter:
    return Counter({int(number): operator.index(count) for number, count in counts.items()})


def _read_counts(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    counts = np.array(values, np.int64)
    if counts.shape != shape:
        raise ValueError(
            f'`stats.from_json`: expected counts of shape {list(shape)}; got {list(counts.shape)}. '
            'Count again.'
        )
    return counts


def _read_histogram(axis: Axis, content: dict[str, Any]) -> np.ndarray:
    values = [content['below'], *content['counts'], content['above']]
    return _read_counts(values, (axis.bins + 2,))


def total(parts: Iterable[Statistics]) -> Statistics:
    """Sums up partial statistics, in any order and grouping."""
    result = Statistics()
    for part in parts:
        result = result + part
    return result
