"""What a `Recipe` must satisfy, with the rule and the value received in the error."""

from __future__ import annotations

import dataclasses

import numpy as np

from segment_anything_tfds.ops import validate

_CHOICES = {
    'resize': ('longest', 'square'),
    'box_jitter_distribution': ('normal', 'uniform'),
    'prompt_layout': ('sam', 'sam2'),
    'multimask': ('ambiguous', 'coin_flip'),
    'iou_error': ('squared', 'absolute'),
    'targets': ('prompted', 'click', 'levels'),
}


def plain(recipe) -> None:
    """Takes NumPy's scalars, also in pairs, for Python's: they would bring dtypes of their own."""
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, (tuple, list, np.ndarray)):
            value = tuple(map(_plain, value))
        object.__setattr__(recipe, field.name, _plain(value))


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def check(recipe, weights: tuple[str, ...]) -> None:
    """Raises ValueError for the first field that breaks its rule."""
    for name in ('image_size', 'mask_size', 'num_masks'):
        _require(recipe, name, _is_int(getattr(recipe, name), 1), 'an int >= 1')
    _require(recipe, 'weights', recipe.weights in weights, f'one of {weights}')
    _check_scale(recipe)
    _check_limits(recipe)
    for name in (
        'flip_probability',
        'min_area_fraction',
        'max_area_fraction',
        'point_probability',
        'box_probability',
        'stored_point_probability',
        'mask_input_probability',
    ):
        _require(recipe, name, 0 <= getattr(recipe, name) <= 1, 'from 0 to 1')
    both = recipe.point_probability + recipe.box_probability
    _require(recipe, 'box_probability', both <= 1 + 1e-9, '+ `point_probability` at most 1')
    for name in ('box_jitter', 'box_jitter_pixels', 'mask_input_logit', 'min_area'):
        _require(recipe, name, getattr(recipe, name) >= 0, '>= 0')
    for name, least in (('num_points', 1), ('num_background_points', 0)):
        _require(recipe, name, _is_range(getattr(recipe, name), least), '(low, high), low <= high')
    _require(recipe, 'corrections', _is_int(recipe.corrections, 0), 'an int >= 0')
    for name in ('refine', 'supervise_all_ious'):
        _require(recipe, name, isinstance(getattr(recipe, name), bool), 'True or False')
    if recipe.mask_input_probability:
        fine = recipe.image_size % 32 == 0
        _require(recipe, 'image_size', fine, 'a multiple of 32 for `mask_input`')
    for name, choices in _CHOICES.items():
        listed = ' or '.join(map(repr, choices))
        _require(recipe, name, getattr(recipe, name) in choices, listed)
    for name in ('focal_weight', 'bce_weight', 'dice_weight', 'iou_weight'):
        _require(recipe, name, getattr(recipe, name) >= 0, '>= 0')
    _check_targets(recipe)


def _check_targets(recipe) -> None:
    _require(recipe, 'num_targets', _is_int(recipe.num_targets, 1), 'an int >= 1')
    if recipe.targets == 'prompted':
        return
    rounds = recipe.corrections == 0 and not recipe.refine
    # a second click would be on the error of one of them
    _require(recipe, 'targets', rounds, "'prompted' with `corrections` or `refine`")
    alone = not recipe.supervise_all_ious
    _require(recipe, 'supervise_all_ious', alone, 'False with several targets')


def _check_scale(recipe) -> None:
    scales = recipe.scale_range
    if scales is None:
        return
    _require(recipe, 'scale_range', 0 < scales[0] <= scales[1], '0 < low <= high, or None')
    _require(recipe, 'resize', recipe.resize == 'longest', "'longest' with `scale_range`")


def _check_limits(recipe) -> None:
    for name in ('area', 'area_fraction'):
        low, high = getattr(recipe, f'min_{name}'), getattr(recipe, f'max_{name}')
        rule = f'None, or not below `min_{name}`, {low}'
        _require(recipe, f'max_{name}', high is None or high >= low, rule)
    overlap = recipe.nms_threshold
    _require(recipe, 'nms_threshold', overlap is None or 0 <= overlap <= 1, 'from 0 to 1, or None')


def _is_int(value, least: int) -> bool:
    return validate.is_int(value) and value >= least


def _is_range(value, least: int) -> bool:
    ints = len(value) == 2 and all(_is_int(n, 0) for n in value)
    return ints and value[0] <= value[1] and value[1] >= least


def _require(recipe, name: str, fine: bool, rule: str) -> None:
    if not fine:
        raise ValueError(
            f'recipe.Recipe: expected `{name}` {rule}; got {getattr(recipe, name)!r}. '
            'Correct the recipe.'
        )
