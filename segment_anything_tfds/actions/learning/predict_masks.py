"""Masks for clicks and boxes on one image."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segment_anything_tfds.actions import choosing, places

if TYPE_CHECKING:
    from PIL import Image

    from segment_anything_tfds.report.picture import Picture

DEFAULT_MODEL = 'tiny'
Points = Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model made of an image and of prompts.

    Attributes:
      record: as in SA-1B's archives: `image`, and `annotations` with a mask for each prompt that
        got one, as RLE, with its predicted IoU and stability score.
    """

    record: dict[str, Any]
    _draw: Callable[[Prediction], Picture] = dataclasses.field(repr=False)

    @functools.cached_property
    def picture(self) -> Picture:
        """Masks, clicks and boxes over the image, drawn when asked for. A notebook shows it."""
        return self._draw(self)

    @property
    def masks(self) -> np.ndarray:
        """bool [N, H, W]."""
        from segment_anything_tfds.source.record import coco_rle

        image = self.record['image']
        counts = [row['segmentation']['counts'] for row in self.record['annotations']]
        return coco_rle.decode(counts, (image['height'], image['width'])).astype(bool)


def predict(
    image: choosing.Path | np.ndarray | Image.Image,
    *,
    model: Any = DEFAULT_MODEL,
    points: Points = (),
    background: Points = (),
    boxes: Sequence[Sequence[float]] = (),
    png: choosing.Path | None = None,
) -> Prediction:
    """Predicts masks for clicks and boxes on one image.

    All clicks are one prompt, for one object; each box is a prompt of its own. Clicks may go with
    one box, which is one prompt then. A single click is ambiguous, so of the model's three masks
    the most confident is taken.

    Args:
      image: a JPEG, PNG or other picture file, an image of Pillow, or RGB uint8 [H, W, 3].
      model: what `training.load_model` takes, or a model. `'tiny'`, the default, comes with the
        package, and knows painted scenes such as those in `dummy_data`; it is not for photographs.
      points: clicks on the object, (x, y) in pixels of the image.
      background: clicks beside it.
      boxes: (x0, y0, x1, y1) in pixels of the image.
      png: a file for the picture.

    Returns:
      The prediction. Prompts for which the model finds no pixel have no annotation.

    Raises:
      FileNotFoundError: there is no such image, or no such model.
      ValueError: no prompts, prompts outside of the image, clicks beside several boxes, or a file
        that is no picture.
    """
    from segment_anything_tfds import training

    places.check_file('png', png)
    prompts = _prompts(points, background, boxes)
    pixels = _pixels(image)
    _check_inside(pixels, points, background, boxes)
    loaded = training.load_model(model) if isinstance(model, (str, os.PathLike)) else model
    predictor = training.Predictor(loaded)
    predictor.set_image(pixels)
    single = len(points) == 1 and not len(background) and not len(boxes)
    record = predictor.predict_records(**prompts, multimask_output=single)
    if isinstance(image, (str, os.PathLike)):
        record['image']['file_name'] = pathlib.PurePath(image).name
    found = Prediction(record, functools.partial(_draw, pixels, points, background, boxes))
    if png is not None:
        places.save(png, found.picture.to_png())
    return found


def _prompts(points: Points, background: Points, boxes) -> dict[str, np.ndarray]:
    """Gives what `Predictor.predict` takes."""
    for name, given, form in (
        ('points', points, 'x,y'),
        ('background', background, 'x,y'),
        ('boxes', boxes, 'x0,y0,x1,y1'),
    ):
        for row in given:
            if np.ndim(row) != 1 or len(row) != len(form.split(',')):
                raise choosing.ArgumentError(f'--{name}: expected {form} for each; got {row!r}.')
    clicks = [*points, *background]
    if not clicks and not len(boxes):
        raise choosing.ArgumentError('expected --points x,y or --boxes x0,y0,x1,y1; got no prompt.')
    if clicks and len(boxes) > 1:
        raise choosing.ArgumentError(
            f'--boxes: expected one box beside clicks; got {len(boxes)}. Ask for each box alone.'
        )
    prompts: dict[str, np.ndarray] = {}
    if clicks:
        prompts['point_coords'] = np.array([clicks], float)
        labels = [1] * len(points) + [0] * len(background)
        prompts['point_labels'] = np.array([labels])
    if len(boxes):
        prompts['box'] = np.array(boxes, float)
    return prompts


def _check_inside(pixels: np.ndarray, points: Points, background: Points, boxes) -> None:
    """Raises ArgumentError for prompts outside of the image, or boxes without a pixel."""
    height, width = pixels.shape[:2]
    corners = [corner for x0, y0, x1, y1 in boxes for corner in ((x0, y0), (x1, y1))]
    for name, given in (('points', points), ('background', background), ('boxes', corners)):
        for x, y in given:
            if not (0 <= x <= width and 0 <= y <= height):
                raise choosing.ArgumentError(
                    f'--{name}: expected pixels of the image, {width} x {height}; got {x:g},{y:g}.'
                )
    for x0, y0, x1, y1 in boxes:
        if x1 <= x0 or y1 <= y0:
            raise choosing.ArgumentError(
                f'--boxes: expected x0,y0,x1,y1 with x0 < x1 and y0 < y1; got {x0:g},{y0:g},{x1:g},'
                f'{y1:g}.'
            )


def _pixels(image) -> np.ndarray:
    """Gives RGB, uint8 [H, W, 3], of what `predict` takes."""
    from PIL import Image

    from segment_anything_tfds.source.record import rgb

    if isinstance(image, (str, os.PathLike)):
        return _read(image)
    if isinstance(image, Image.Image):
        return np.asarray(rgb.upright(image))
    return np.asarray(image)


def _read(path: choosing.Path) -> np.ndarray:
    """Reads RGB, uint8 [H, W, 3]; upright, as a camera's note says."""
    from PIL import Image

    from segment_anything_tfds.source.record import jpeg, rgb

    try:
        with jpeg.strict_pillow(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of large sizes, and of odd EXIF
            with Image.open(path) as image:
                return np.asarray(rgb.upright(image))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f'`predict`: expected `image` to be a picture file; got {os.fspath(path)}: {error}.'
        ) from None


def _draw(pixels, points, background, boxes, found: Prediction) -> Picture:
    from segment_anything_tfds.report import draw, picture

    rows = found.record['annotations']
    clicks = np.array([*points, *background], float).reshape(-1, 2)
    labels = np.array([1] * len(points) + [0] * len(background), int)
    colors = draw.palette(max(len(rows), len(boxes)))
    drawn = draw.overlay(
        pixels,
        found.masks,
        boxes=np.array(boxes, float).reshape(-1, 4) if len(boxes) == len(rows) else None,
        points=clicks,
        point_labels=labels,
        colors=colors[: len(rows)],
        texts=[f'{row["predicted_iou"]:.2f}' for row in rows],
    )
    return picture.Picture(drawn)
