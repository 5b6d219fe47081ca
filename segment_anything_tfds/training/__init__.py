"""From examples to batches, and the model, losses, metrics and evaluation that SAM training needs.

    recipe = training.recipes.get('sam')
    batches = recipe.batches(dataset, batch_size=4, seed=0)
    model = training.PromptableSegmenter(segmenter)

Names are imported when they are first used, so Keras is only loaded by those that need it.
"""

from __future__ import annotations

import importlib

_LAZY = {
    'BoundaryIoU': 'metrics',
    'DiceLoss': 'losses',
    'FocalLoss': 'losses',
    'MeanMaskIoU': 'metrics',
    'PromptableSegmenter': 'model',
    'Recipe': 'recipe',
    'SegmentAnythingLoss': 'losses',
    'copy_paste': '_copy_paste',
    'small_sam': '_small_sam',
}
_MODULES = ('corrections', 'datasets', 'evaluate', 'losses', 'metrics', 'model', 'recipes')

__all__ = sorted((*_LAZY, *_MODULES))


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f'{__name__}.{name}')
    if name in _LAZY:
        value = getattr(importlib.import_module(f'{__name__}.{_LAZY[name]}'), name)
        globals()[name] = value
        return value
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return __all__
