"""Settings of the mask generator, under the names of Meta's `SamAutomaticMaskGenerator`."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the options of `sa1b annotate` are made of these settings without NumPy
    import numpy as np

OUTPUT_MODES = ('coco_rle', 'uncompressed_rle', 'binary_mask')


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """What masks to look for in an image, and which to keep.

    Fields down to `output_mode` are those of Meta's generator, with its defaults (`output_mode`
    excepted, which is `'binary_mask'` there); the three after them are those that SAM 2 added; the
    rest is ours.

    Attributes:
      points_per_side: points along each side of the grid on the whole image; `None` where
        `point_grids` is given.
      points_per_batch: prompts in one call of the mask decoder. More is faster on an accelerator
        and takes more memory; the masks are the same. On a CPU a large model decodes fewer.
      pred_iou_thresh: a mask is kept where its predicted IoU is above this; 0 keeps all.
      stability_score_thresh: a mask is kept where its stability score is at least this; 0 keeps
        all.
      stability_score_offset: the stability score is the IoU of the masks `logit > +offset` and
        `logit > -offset`.
      box_nms_thresh: of two masks of one crop whose boxes have an IoU above this, the one of the
        lower predicted IoU is dropped.
      crop_n_layers: layers of crops beside the whole image; layer i has 2^i x 2^i crops.
      crop_nms_thresh: as `box_nms_thresh`, between crops; masks of smaller crops win.
      crop_overlap_ratio: how far the crops of layer 1 overlap, in shares of the image's short side;
        half as far in each layer below.
      crop_n_points_downscale_factor: layer i has `int(points_per_side / factor^i)` points a side.
      point_grids: float [P, 2] (x, y) in 0 to 1 for each layer, in place of `points_per_side`.
      min_mask_region_area: holes and islands of fewer pixels are filled and removed; 0 leaves all.
      output_mode: how `segmentation` is given: `'coco_rle'`, `'uncompressed_rle'` or
        `'binary_mask'` (bool [H, W], which takes much memory).
      mask_threshold: a pixel belongs to the mask where its logit is above this.
      use_m2m: each mask is refined once: its logits go back into the model as `mask_input`.
      multimask_output: three masks a point (the model's outputs 1 to 3); else its output 0.
      max_mask_coverage: masks that cover at least this share of the image are dropped; `None`
        keeps them.
      drop_small_masks: masks whose largest part is smaller than `min_mask_region_area` are dropped,
        where Meta's code keeps that part.
      crops_per_batch: crops in one call of the image encoder; `None` for up to four, as many as the
        memory of the device bears.

    Raises:
      ValueError: a field has another type or lies outside its range.
    """

    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: Sequence[np.ndarray] | None = None
    min_mask_region_area: int = 0
    output_mode: str = 'coco_rle'
    mask_threshold: float = 0.0
    use_m2m: bool = False
    multimask_output: bool = True
    max_mask_coverage: float | None = None
    drop_small_masks: bool = False
    crops_per_batch: int | None = None

    def __post_init__(self) -> None:
        if self.point_grids is not None:
            import numpy as np

            grids = tuple(np.asarray(grid, np.float64) for grid in self.point_grids)
            object.__setattr__(self, 'point_grids', grids)
        for name, (rule, holds) in _RULES.items():
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(
                    f'`settings.Settings`: expected `{name}` {rule}; got {value!r}. Change it.'
                )
            if isinstance(value, numbers.Real) and not isinstance(value, bool):
                plain = float(value) if name in _FRACTIONS else int(value)
                object.__setattr__(self, name, plain)  # NumPy's are no numbers to JSON
        _check_grid(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(repr(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """Gives the settings as values of JSON."""
        values = dataclasses.asdict(self)
        if self.point_grids is not None:
            values['point_grids'] = [grid.tolist() for grid in self.point_grids]
        return values


def _is_whole(least: int):
    return lambda value: (
        isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least
    )


def _is_between(low: float, high: float):
    return lambda value: (
        isinstance(value, numbers.Real) and not isinstance(value, bool) and low <= value <= high
    )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_COUNT = ('to be a whole number, 1 or more', _is_whole(1))
_COUNT_OR_NONE = (
    'to be a whole number, 1 or more, or None',
    lambda value: value is None or _COUNT[1](value),
)
_NATURAL = ('to be a whole number, 0 or more', _is_whole(0))
_SHARE = ('to be a number from 0 to 1', _is_between(0, 1))
_FLAG = ('to be True or False', _is_bool)
_RULES = {
    'points_per_side': _COUNT_OR_NONE,
    'points_per_batch': _COUNT,
    'pred_iou_thresh': ('to be a number, 0 or more', _is_between(0, float('inf'))),
    'stability_score_thresh': _SHARE,
    'stability_score_offset': ('to be a number, 0 or more', _is_between(0, float('inf'))),
    'box_nms_thresh': _SHARE,
    'crop_n_layers': ('to be a whole number from 0 to 5', lambda v: _is_whole(0)(v) and v <= 5),
    'crop_nms_thresh': _SHARE,
    'crop_overlap_ratio': ('to be a number from 0 to 0.9', _is_between(0, 0.9)),
    'crop_n_points_downscale_factor': _COUNT,
    'min_mask_region_area': _NATURAL,
    'output_mode': (f'to be one of {OUTPUT_MODES}', lambda value: value in OUTPUT_MODES),
    'mask_threshold': ('to be a finite number', _is_between(-1e30, 1e30)),
    'use_m2m': _FLAG,
    'multimask_output': _FLAG,
    'max_mask_coverage': (
        'to be a number from 0 to 1, or None',
        lambda value: value is None or _SHARE[1](value),
    ),
    'drop_small_masks': _FLAG,
    'crops_per_batch': _COUNT_OR_NONE,
}

_FRACTIONS = {field.name for field in dataclasses.fields(Settings) if 'float' in field.type}


def _check_grid(settings: Settings) -> None:
    """Checks that either `points_per_side` or `point_grids` gives every layer a point."""
    grids, side, layers = settings.point_grids, settings.points_per_side, settings.crop_n_layers
    if (grids is None) == (side is None):
        raise ValueError(
            '`settings.Settings`: expected one of `points_per_side` and `point_grids`; got '
            f'{"neither" if grids is None else "both"}. Set the other one to None.'
        )
    if grids is None:
        last = int(side / settings.crop_n_points_downscale_factor**layers)
        if last < 1:
            raise ValueError(
                '`settings.Settings`: expected `points_per_side` to leave a point in every layer; '
                f'got {side} with {layers} layers and crop_n_points_downscale_factor='
                f'{settings.crop_n_points_downscale_factor}. Take a smaller factor.'
            )
        return
    shapes = [grid.shape for grid in grids]
    if len(grids) != layers + 1 or any(len(s) != 2 or s[1] != 2 for s in shapes):
        raise ValueError(
            f'`settings.Settings`: expected `point_grids` of {layers + 1} arrays [P, 2], one for '
            f'the whole image and one a layer of crops; got shapes {shapes}.'
        )
    if not all(((grid >= 0) & (grid <= 1)).all() for grid in grids):
        raise ValueError(
            '`settings.Settings`: expected `point_grids` in 0 to 1, in shares of the crop; got '
            'values outside. Divide pixels by width and height.'
        )


# What made SA-1B: the paper's appendix B. The last two rules are in the paper, not in Meta's code.
_SA1B = {
    'points_per_side': 32,
    'crop_n_layers': 2,
    'crop_n_points_downscale_factor': 2,
    'pred_iou_thresh': 0.88,
    'stability_score_thresh': 0.95,
    'box_nms_thresh': 0.7,
    'crop_nms_thresh': 0.7,
    'min_mask_region_area': 100,
    'max_mask_coverage': 0.95,
    'drop_small_masks': True,
}
# Object proposals: the paper's appendix D.3, where about 900 masks an image were ranked by the mean
# of predicted IoU and stability score.
_PROPOSALS = {
    'points_per_side': 64,
    'pred_iou_thresh': 0.0,
    'stability_score_thresh': 0.0,
    'box_nms_thresh': 0.9,
}
PRESETS: dict[str, dict[str, Any]] = {'default': {}, 'sa1b': _SA1B, 'proposals': _PROPOSALS}


def get(name: str = 'default', **changes: Any) -> Settings:
    """Gives the settings of a name, with changes.

    Args:
      name: `'default'`: those of Meta's generator. `'sa1b'`: those that made SA-1B, 3,072 points on
        the image and 20 crops of it. `'proposals'`: a dense grid without filters, for recall by
        many proposals (AR@1000).
      **changes: fields of `Settings`.

    Returns:
      The settings.

    Raises:
      ValueError: an unknown name or field, or a value outside the range of its field.

    Example:
      >>> get('sa1b', points_per_side=16).crop_n_layers
      2
    """
    if name not in PRESETS:
        raise ValueError(
            f'`settings.get`: expected `name` to be one of {sorted(PRESETS)}; got {name!r}. '
            'Give changes as keyword arguments.'
        )
    known = [field.name for field in dataclasses.fields(Settings)]
    if unknown := sorted(set(changes) - set(known)):
        raise ValueError(
            f'`settings.get`: expected `changes` to be fields of Settings ({", ".join(known)}); '
            f'got {", ".join(unknown)}.'
        )
    values = {**PRESETS[name], **changes}
    if changes.get('point_grids') is not None:
        values.setdefault('points_per_side', None)
        values['points_per_side'] = changes.get('points_per_side')
    return Settings(**values)
