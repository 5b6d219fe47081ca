"""Masks for any image, as SA-1B was made: `MaskGenerator`, its settings, and archives of results.

    generator = annotate.MaskGenerator(model, annotate.settings.get('sa1b'))
    records = generator.generate(image)

    annotate.write_archives('photographs', model, 'archives', settings='sa1b')

Names are imported when they are first used, so Keras is only loaded by those that need it.
"""

from __future__ import annotations

import importlib

_LAZY = {
    'MaskGenerator': 'generator:MaskGenerator',
    'Settings': 'settings:Settings',
    'Summary': 'archives.annotation_run:Summary',
    'settings': 'settings',
    'with_precision': 'precision:with_precision',
    'write_archives': 'archives.annotation_run:write_archives',
}

__all__ = sorted(_LAZY)


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
