"""From examples to batches, and the model, losses, metrics and evaluation that SAM training needs.

    recipe = training.recipes.get('sam')
    batches = recipe.batches(dataset, batch_size=4, seed=0)
    model = training.PromptableSegmenter(segmenter)

Names are imported when they are first used, so Keras is only loaded by those that need it. As soon
as Keras is there, `keras.saving.load_model` knows this package's model, losses and metrics.
"""

from __future__ import annotations

import importlib

from segment_anything_tfds import _after_import

_LAZY = {
    'BoundaryIoU': 'metrics:BoundaryIoU',
    'DiceLoss': 'losses:DiceLoss',
    'FocalLoss': 'losses:FocalLoss',
    'MeanMaskIoU': 'metrics:MeanMaskIoU',
    'Predictor': 'prediction.predictor:Predictor',
    'PromptableSegmenter': 'sam.promptable:PromptableSegmenter',
    'Recipe': 'data.recipe:Recipe',
    'SegmentAnythingLoss': 'losses:SegmentAnythingLoss',
    'checkpoints': 'checkpoints',
    'copy_paste': 'data.copy_paste:copy_paste',
    'corrections': 'corrections',
    'datasets': 'data.datasets',
    'evaluate': 'evaluation',
    'export_onnx': 'prediction.onnx_export:export_onnx',
    'load_model': 'prediction.named_models:load_model',
    'losses': 'losses',
    'metrics': 'metrics',
    'model': 'sam.promptable',
    'recipes': 'data.recipes',
    'small_sam': 'sam.small_sam:small_sam',
    'tiny_sam': 'tiny.tiny_sam:tiny_sam',
}

__all__ = sorted(_LAZY)


def _register_with_keras(_) -> None:
    for module in ('sam.promptable', 'losses', 'metrics'):
        importlib.import_module(f'{__name__}.{module}')


_after_import.run('keras', _register_with_keras)


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module, _, attribute = _LAZY[name].partition(':')
    value = importlib.import_module(f'{__name__}.{module}')
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
