"""SA-1B for Grain, and so for JAX: a source with random access, and a transform in NumPy.

    from segment_anything_tfds.grain import SA1B, Rows

    source = SA1B('~/tensorflow_datasets', hold_out='28-29')
    data = grain.MapDataset.source(source).seed(0).shuffle().random_map(Rows(image_size=1024))
    for batch in data.batch(4): ...

Nothing of it imports TensorFlow.
"""

from __future__ import annotations

from segment_anything_tfds.arrays import random_access
from segment_anything_tfds.arrays.rows import Rows

__all__ = ['SA1B', 'Rows']


class SA1B(random_access.Examples):
    __doc__ = random_access.Examples.__doc__
