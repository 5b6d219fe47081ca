"""How good are masks: a model's by clicks and boxes, results in a file, or another annotation set.

IoUs are those of whole masks at the size of their image.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from segment_anything_tfds.training.scoring.pairing import Masks, compare
from segment_anything_tfds.training.scoring.proposals import average_recall
from segment_anything_tfds.training.scoring.readers import from_coco_results, from_examples
from segment_anything_tfds.training.scoring.scores import (
    SIZES,
    THRESHOLDS,
    Scores,
    mean_of_datasets,
)

__all__ = [
    'CLICKS',
    'SIZES',
    'THRESHOLDS',
    'Masks',
    'Scores',
    'average_recall',
    'compare',
    'evaluate_model',
    'from_coco_results',
    'from_examples',
    'mean_of_datasets',
]

CLICKS = (1, 2, 3, 5, 9)


def evaluate_model(
    model: Any,
    examples: Iterable[Mapping[str, Any]],
    *,
    clicks: int | Sequence[int] = CLICKS,
    first_click: str = 'center',
    seed: int = 0,
    batch_size: int = 32,
    num_masks: int | None = None,
    progress: Callable | None = None,
) -> dict[str, dict[str, Any]]:
    """Measures a model's mean IoU after some clicks, and with a box, at the size of the images.

    The protocol of SAM (Kirillov et al. 2023, section 7.1), as a loop around its `SamPredictor`
    does it: images are resized as `ResizeLongestSide` does; the logits of the mask decoder are
    scaled up, rid of the padding, scaled to the image and then thresholded. The first click is the
    pixel of the true mask furthest from its edge, or one drawn uniformly; each next one is the
    pixel furthest inside of the largest error, with the logits before passed on. A single click
    asks for the multimask outputs, of which the one with the highest predicted IoU goes on and is
    judged; a box, and more than one click, ask for the single output. The box is the true one, from
    the centre of its first to that of its last pixel. All masks count, however small.

    Args:
      model: a `PromptableSegmenter`, or a KerasHub SAM, which is wrapped.
      examples: of the dataset, a `tf.data.Dataset` or as `tfds.as_numpy` gives them;
        `image/content` may be undecoded.
      clicks: numbers of clicks to judge, or one number.
      first_click: `'center'` or `'random'`.
      seed: of the random first clicks.
      batch_size: prompts that are decoded at once.
      num_masks: masks of an image that are judged, the first ones; None for all.
      progress: called with 1 after each image.

    Returns:
      By prompt (`'1_clicks'`, ..., `'box'`) `Scores.summary()`: `mean_iou` of the chosen outputs
      with its 95 % bootstrap interval, `oracle`, the mean IoU of the best output that the prompt
      asks for, and `boundary_iou` of the chosen ones, with d from the size of the image. Without
      any mask the counts are 0 and the means None.

    Raises:
      ValueError: clicks or a batch size that are not positive ints, an unknown `first_click`, or
        examples that are none.
    """
    clicks = (clicks,) if isinstance(clicks, numbers.Integral) else tuple(clicks)
    if not clicks or any(not isinstance(n, numbers.Integral) or n < 1 for n in clicks):
        raise ValueError(
            f'evaluate.evaluate_model: expected `clicks` of ints >= 1; got {clicks!r}. '
            f'Pass for instance {CLICKS}.'
        )
    if first_click not in ('center', 'random'):
        raise ValueError(
            "evaluate.evaluate_model: expected `first_click` 'center' or 'random'; "
            f'got {first_click!r}. Choose one.'
        )
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError(
            f'evaluate.evaluate_model: expected `batch_size` of 1 or more; got {batch_size!r}. '
            'Pass for instance 32.'
        )
    from segment_anything_tfds.training.sam import promptable
    from segment_anything_tfds.training.scoring import protocol

    if not isinstance(model, promptable.PromptableSegmenter):
        model = promptable.PromptableSegmenter(model)
    clicks = tuple(int(n) for n in clicks)
    judge = protocol.Judge(model, clicks, first_click, seed, batch_size, num_masks)
    names = [*(f'{number}_clicks' for number in sorted(set(clicks))), 'box']
    scores = {name: Scores(others={'oracle': [], 'boundary_iou': []}) for name in names}
    if hasattr(examples, 'as_numpy_iterator'):
        examples = examples.as_numpy_iterator()
    for example in examples:
        areas, judged = judge(_checked(example))
        for found in judged:
            others = {'oracle': found.oracle, 'boundary_iou': found.boundary}
            scores[found.prompt].add(found.chosen, areas, **others)
        if progress:
            progress(1)
    return {name: found.summary() for name, found in scores.items()}


def _checked(example: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(example, Mapping) and 'annotations' in example:
        return example
    raise ValueError(
        'evaluate.evaluate_model: expected `examples` of the dataset, dicts of `image` and '
        f'`annotations`; got {type(example).__name__}. Pass `tfds.as_numpy(dataset)`.'
    )
