"""SA-1B (Segment Anything, 1 Billion) for TensorFlow Datasets.

After `import segment_anything_tfds`, `tfds.load('segment_anything')` uses this package's builder.
The helpers that work on its examples are imported when they are first named, so that a program
that needs no TensorFlow never waits for it:

    import segment_anything_tfds as sa1b
    masks = sa1b.rle.decode(counts, size)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from segment_anything_tfds import _registration

if TYPE_CHECKING:  # for editors: the names that `__getattr__` imports
    from segment_anything_tfds import training
    from segment_anything_tfds.ops import boxes, prompts, rle, transforms
    from segment_anything_tfds.report.show import show_examples
    from segment_anything_tfds.segment_anything_dataset_builder import Builder
    from segment_anything_tfds.source.record import coco_rle

__version__ = '1.0.0'

_LAZY = {
    'Builder': 'segment_anything_tfds.segment_anything_dataset_builder:Builder',
    'boxes': 'segment_anything_tfds.ops.boxes',
    'coco_rle': 'segment_anything_tfds.source.record.coco_rle',
    'prompts': 'segment_anything_tfds.ops.prompts',
    'rle': 'segment_anything_tfds.ops.rle',
    'show_examples': 'segment_anything_tfds.report.show:show_examples',
    'training': 'segment_anything_tfds.training',
    'transforms': 'segment_anything_tfds.ops.transforms',
}

__all__ = [
    'Builder',
    '__version__',
    'boxes',
    'coco_rle',
    'prompts',
    'rle',
    'show_examples',
    'training',
    'transforms',
]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module, _, attribute = _LAZY[name].partition(':')
    value = importlib.import_module(module)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


_registration.register()
