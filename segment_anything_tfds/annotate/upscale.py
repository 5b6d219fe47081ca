"""The way from the model's small logits to the crop's pixels, as one linear map a side.

SAM enlarges its logits in two bilinear steps: from 256 x 256 to the 1024 x 1024 pixels that the
model saw, then, with the padding cut off, to the size of the crop. Each step is linear and works on
rows and columns apart, so both together are one matrix for the rows and one for the columns. A row
of that matrix mixes at most three neighbours:

    crop row i       lies between rows 5 and 6 that the model saw  (weights .7 .3)
    model row 5      lies between small rows 1 and 2               (weights .9 .1)
    model row 6      lies between small rows 1 and 2               (weights .6 .4)
    =>  crop row i = (.7 * .9 + .3 * .6) small row 1 + (.7 * .1 + .3 * .4) small row 2
                   = .81 small row 1 + .19 small row 2   (and 0 of small row 3)

Weights are not negative and sum to 1. `level_sets` mixes columns so; rows it takes in two steps.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from segment_anything_tfds.training.prediction import enlarging

TAPS = 3


@dataclasses.dataclass(frozen=True)
class Axis:
    """How pixels along one side of a crop come from the small logits.

    Attributes:
      first: int [P], ascending: pixel p mixes small pixels `first[p]` to `first[p] + 2`.
      weights: float32 [P, 3]: with these weights.
    """

    first: np.ndarray
    weights: np.ndarray


@functools.lru_cache(maxsize=64)
def axis(length: int, model_length: int, content_length: int, crop_length: int) -> Axis:
    """Gives the map along one side.

    Args:
      length: pixels of the small logits, at least 3.
      model_length: pixels of the model's input, at least `length`.
      content_length: pixels of the model's input that show the crop; the rest is padding.
      crop_length: pixels of the crop.

    Returns:
      The map from `length` to `crop_length` pixels.

    Example:
      >>> axis(4, 16, 16, 16).weights[2].tolist()
      [0.875, 0.125, 0.0]
    """
    low, high, share = enlarging.neighbours(content_length, crop_length)
    low_first, low_second, low_share = (x[low] for x in enlarging.neighbours(length, model_length))
    high_first, high_second, high_share = (
        x[high] for x in enlarging.neighbours(length, model_length)
    )
    first = np.minimum(low_first, length - TAPS)
    weights = np.zeros((crop_length, TAPS), np.float32)
    everyone = np.arange(crop_length)
    for index, weight in (
        (low_first, (1 - share) * (1 - low_share)),
        (low_second, (1 - share) * low_share),
        (high_first, share * (1 - high_share)),
        (high_second, share * high_share),
    ):
        np.add.at(weights, (everyone, index - first), weight)
    return Axis(first, weights)
