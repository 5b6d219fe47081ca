"""What the small SAM that comes with the package makes of clicks and boxes, drawn for the demo."""

from __future__ import annotations

import numpy as np

from segment_anything_tfds import training
from segment_anything_tfds.report import draw as drawing
from segment_anything_tfds.training.scoring import fullsize, next_click

OBJECTS = (0.003, 0.1)  # smallest and largest part of the image that a shown object covers
MOST_OBJECTS = 10
CELL = 480


def draw(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, float, float, int]:
    """Draws a sheet of clicks and boxes, the masks of `training.tiny_sam`, and the true ones.

    Args:
      image: uint8 [H, W, 3].
      masks: [N, H, W], of which some objects are chosen.

    Returns:
      The sheet, uint8 [H, W, 3]; the mean IoU by a click and by a box; and the number of objects.
    """
    objects = _objects(masks)
    predictor = training.Predictor(training.tiny_sam())
    predictor.set_image(image)
    clicks, boxes = _prompts(objects)
    by_click = _best(
        predictor, point_coords=clicks[:, None], point_labels=np.ones((len(clicks), 1))
    )
    by_box = _best(predictor, box=boxes, multimask_output=False)
    nothing = np.zeros((0, *image.shape[:2]), np.uint8)
    pictures = [
        drawing.overlay(image, nothing, points=clicks),
        drawing.overlay(image, by_click),
        drawing.overlay(image, objects),
        drawing.overlay(image, nothing, boxes=boxes),
        drawing.overlay(image, by_box),
        drawing.overlay(image, objects),
    ]
    click, box = (_mean_iou(found, objects) for found in (by_click, by_box))
    captions = ['clicks', f'tiny_sam: mean IoU {click:.2f}', 'truth']
    captions += ['boxes', f'tiny_sam: mean IoU {box:.2f}', 'truth']
    sheet = drawing.contact_sheet(pictures, captions, columns=3, cell=CELL)
    return sheet, click, box, len(objects)


def _objects(masks: np.ndarray) -> np.ndarray:
    """Gives masks of some objects, bool [N, H, W], the largest first, none over another."""
    free = np.ones(masks.shape[1:], bool)
    shares = masks.mean(axis=(1, 2))
    chosen = []
    for index in np.argsort(-shares, kind='stable'):
        mask = masks[index].astype(bool)
        if OBJECTS[0] <= shares[index] <= OBJECTS[1] and free[mask].all():
            chosen.append(mask)
            free &= ~mask
    return np.stack(chosen[:MOST_OBJECTS])


def _prompts(objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives a click in each object, x and y [N, 2], and its box x0, y0, x1, y1 [N, 4]."""
    windows = [fullsize.cut(mask) for mask in objects]
    clicks = [next_click.center(window) for window in windows]
    return (
        np.array([[click.x, click.y] for click in clicks]),
        np.array([window.corners for window in windows], float),
    )


def _best(predictor, **prompts) -> np.ndarray:
    """Chooses each prompt's mask with the highest predicted IoU: bool [N, H, W]."""
    masks, scores, _ = predictor.predict(**prompts)
    return np.take_along_axis(masks, scores.argmax(1)[:, None, None, None], 1)[:, 0]


def _mean_iou(found: np.ndarray, truth: np.ndarray) -> float:
    overlap, union = (x.sum(axis=(1, 2)) for x in (found & truth, found | truth))
    return float((overlap / union).mean())
