"""Masks at a higher resolution than the decoder's, one mask at a time so that memory holds.

SAM's decoder gives logits at a quarter of the image's resolution. SAM 2 and EfficientViT-SAM take
their loss at the image's: 64 masks of 4 outputs at 1024 x 1024 are 1 GiB, and a loss keeps about
ten such arrays. So logits are enlarged, and everything that looks at them is computed, for one mask
after the other; gradients enlarge them again instead of keeping them.
"""

from __future__ import annotations

import keras
from keras import ops


def enlarged(logits, height: int, width: int):
    """Enlarges logits [..., h, w] to [..., height, width]: bilinear, as SAM does it."""
    flat = ops.reshape(logits, (-1, *logits.shape[-2:], 1))
    large = ops.image.resize(
        flat, (height, width), interpolation='bilinear', data_format='channels_last'
    )
    return ops.reshape(large, (*ops.shape(logits)[:-2], height, width))


def is_multiple(truth_shape, logits_shape) -> bool:
    """Tells whether masks are the logits' size, a whole number of times, and more than once."""
    (height, width), (h, w) = truth_shape[-2:], logits_shape[-2:]
    return height > h and height % h == 0 and height // h * w == width


def each_mask(function, leading: int, *arrays):
    """Calls a function for one mask after the other.

    Args:
      function: takes an array of each, without the leading dimensions; gives one tensor.
      leading: how many dimensions all arrays share, as 2 for [B, K].
      *arrays: tensors.

    Returns:
      What the function gave, with the leading dimensions.
    """
    shape = ops.shape(arrays[0])[:leading]
    flat = tuple(ops.reshape(array, (-1, *array.shape[leading:])) for array in arrays)
    remade = getattr(keras, 'remat', lambda function: function)(function)
    found = ops.map(lambda each: remade(*each), flat)
    return ops.reshape(found, (*shape, *found.shape[1:]))
