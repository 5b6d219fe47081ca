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
    from segment_anything_tfds import annotate, training
    from segment_anything_tfds.actions.count_stats import stats
    from segment_anything_tfds.actions.download_archives import download
    from segment_anything_tfds.actions.draw_preview import preview, show
    from segment_anything_tfds.actions.export_records import export
    from segment_anything_tfds.actions.import_data import import_data
    from segment_anything_tfds.actions.learning.judging import evaluate
    from segment_anything_tfds.actions.learning.loading import load
    from segment_anything_tfds.actions.learning.predict_masks import predict
    from segment_anything_tfds.actions.link_report import links
    from segment_anything_tfds.actions.record_access import records
    from segment_anything_tfds.actions.verify_archives import verify
    from segment_anything_tfds.ops import boxes, prompts, rle, transforms
    from segment_anything_tfds.report.show import show_examples
    from segment_anything_tfds.segment_anything_dataset_builder import Builder
    from segment_anything_tfds.source.access.archive_map import archive_index
    from segment_anything_tfds.source.record import coco_rle
    from segment_anything_tfds.source.resources import demo_archives
    from segment_anything_tfds.streaming.stream_api import stream

__version__ = '1.0.0'

_LAZY = {
    'Builder': 'segment_anything_tfds.segment_anything_dataset_builder:Builder',
    'GrainStream': 'segment_anything_tfds.streaming.grain_stream:GrainStream',
    'TorchStream': 'segment_anything_tfds.streaming.torch_stream:TorchStream',
    'annotate': 'segment_anything_tfds.annotate',
    'archive_index': 'segment_anything_tfds.source.access.archive_map:archive_index',
    'boxes': 'segment_anything_tfds.ops.boxes',
    'coco_rle': 'segment_anything_tfds.source.record.coco_rle',
    'demo_archives': 'segment_anything_tfds.source.resources:demo_archives',
    'download': 'segment_anything_tfds.actions.download_archives:download',
    'evaluate': 'segment_anything_tfds.actions.learning.judging:evaluate',
    'export': 'segment_anything_tfds.actions.export_records:export',
    'import_data': 'segment_anything_tfds.actions.import_data:import_data',
    'links': 'segment_anything_tfds.actions.link_report:links',
    'load': 'segment_anything_tfds.actions.learning.loading:load',
    'predict': 'segment_anything_tfds.actions.learning.predict_masks:predict',
    'preview': 'segment_anything_tfds.actions.draw_preview:preview',
    'prompts': 'segment_anything_tfds.ops.prompts',
    'records': 'segment_anything_tfds.actions.record_access:records',
    'rle': 'segment_anything_tfds.ops.rle',
    'show': 'segment_anything_tfds.actions.draw_preview:show',
    'show_examples': 'segment_anything_tfds.report.show:show_examples',
    'stats': 'segment_anything_tfds.actions.count_stats:stats',
    'stream': 'segment_anything_tfds.streaming.stream_api:stream',
    'training': 'segment_anything_tfds.training',
    'transforms': 'segment_anything_tfds.ops.transforms',
    'verify': 'segment_anything_tfds.actions.verify_archives:verify',
}

# All but those that need packages which are not installed with this one: torch and grain.
__all__ = [
    'Builder',
    '__version__',
    'annotate',
    'archive_index',
    'boxes',
    'coco_rle',
    'demo_archives',
    'download',
    'evaluate',
    'export',
    'import_data',
    'links',
    'load',
    'predict',
    'preview',
    'prompts',
    'records',
    'rle',
    'show',
    'show_examples',
    'stats',
    'stream',
    'training',
    'transforms',
    'verify',
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module, _, attribute = _LAZY[name].partition(':')
    value = importlib.import_module(module)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


_registration.register()
