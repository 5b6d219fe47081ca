"""Examples to batches: one documented object that says how, callable on an example."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from segment_anything_tfds.ops import rle, transforms
from segment_anything_tfds.training.data import (
    click_targets,
    mask_choice,
    pass_count,
    placement,
    recipe_checks,
    recipe_prompts,
)

if TYPE_CHECKING:
    from segment_anything_tfds.training import losses

WEIGHTS = ('uniform', 'area', 'sqrt_area', 'predicted_iou', 'stability_score')
_MODEL = ('corrections', 'refine', 'prompt_layout', 'multimask')
_LOSS = tuple(f'{kind}_weight' for kind in ('focal', 'bce', 'dice', 'iou'))
_LOSS += ('iou_error', 'supervise_all_ious', 'targets')


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Turns an example of the dataset into `(inputs, masks, valid)`, what `model.fit` takes.

    Everything is stateless TensorFlow: equal seeds give equal tensors, eagerly, in a graph and with
    any `num_parallel_calls`. Shapes are static. An image without usable masks gives a row that is
    invalid throughout, never an error.

    Attributes:
      image_size: side of the square image in pixels.
      mask_size: side of the masks, which cover the same square. SAM's decoder gives a quarter; for
        a multiple of that, up to the image's size, loss and correction clicks enlarge the logits.
      num_masks: masks K an image; fewer are padded with invalid ones.
      resize: `'longest'` keeps the aspect ratio and pads right and below (SAM), `'square'`
        stretches (SAM 2).
      scale_range: large-scale jitter: random scale, then crop or pad; None for the whole image.
      flip_probability: of mirroring left and right.
      reduced_decode: let libjpeg decode at 1/2, 1/4 or 1/8 where that is large and exact enough.
      fill: RGB of the padding, near the mean that SAM subtracts; `PromptableSegmenter` makes it
        exactly zero by `content_size`.
      min_area, max_area: of a mask in pixels of the original image, both included; None for no
        upper limit.
      min_area_fraction, max_area_fraction: of a mask in parts of its image, both included.
      min_predicted_iou, min_stability_score: smallest values that are kept.
      nms_threshold: masks whose IoU with a mask of higher `predicted_iou` is above it are left out;
        None for no suppression.
      weights: how masks are drawn: `'uniform'`, or with a probability proportional to `'area'`,
        `'sqrt_area'`, `'predicted_iou'` or `'stability_score'`.
      point_probability, box_probability: of a prompt by points alone, by a box alone; with what is
        left to 1 the prompt is both.
      stored_point_probability: of clicking the dataset's `point_coords` instead of a random pixel
        of the mask, for the first point.
      num_points: fewest and most points inside the mask.
      num_background_points: fewest and most points outside.
      box_jitter, box_jitter_pixels, box_jitter_distribution: as in `ops.boxes.jitter`, in pixels of
        the training image.
      mask_input_probability: of giving a low-resolution mask as a prompt too: the true mask on a
        grid eight times coarser than the decoder's, as logits of +-`mask_input_logit`. 0 leaves the
        input out.
      mask_input_logit: their magnitude.
      corrections, refine: rounds of correction clicks, and whether two rounds without a click are
        added.
      prompt_layout: the tokens that prompts become: `'sam'` or `'sam2'`.
      multimask: which outputs learn: `'ambiguous'`, the several ones where the prompt is a single
        click, or `'coin_flip'`, the several ones or the single one, as drawn for each step.
      targets: what a single click asks for: `'prompted'`, the mask that it was drawn in; `'click'`,
        all masks of the image that hold it, as in Semantic-SAM; `'levels'`, of those that hold it
        a whole, a part and a subpart (`ops.rle.hierarchy`). Other prompts ask for their own mask.
      num_targets: masks T of a click, with `targets='click'`; where more hold it, T are drawn.
      focal_weight, bce_weight, dice_weight, iou_weight, iou_error, supervise_all_ious: as in
        `SegmentAnythingLoss`; for `loss`.

    `corrections`, `refine`, `prompt_layout` and `multimask` are for the model:
    `PromptableSegmenter(segmenter, **recipe.model_options)`.
    """

    image_size: int = 1024
    mask_size: int = 256
    num_masks: int = 64
    resize: str = 'longest'
    scale_range: tuple[float, float] | None = None
    flip_probability: float = 0.0
    reduced_decode: bool = True
    fill: tuple[int, int, int] = (124, 116, 104)
    min_area: int = 1
    max_area: int | None = None
    min_area_fraction: float = 0.0
    max_area_fraction: float = 1.0
    min_predicted_iou: float = 0.0
    min_stability_score: float = 0.0
    nms_threshold: float | None = None
    weights: str = 'uniform'
    point_probability: float = 0.5
    box_probability: float = 0.5
    stored_point_probability: float = 0.0
    num_points: tuple[int, int] = (1, 1)
    num_background_points: tuple[int, int] = (0, 0)
    box_jitter: float = 0.1
    box_jitter_pixels: float = 20.0
    box_jitter_distribution: str = 'normal'
    mask_input_probability: float = 0.0
    mask_input_logit: float = 6.0
    corrections: int = 0
    refine: bool = False
    prompt_layout: str = 'sam'
    multimask: str = 'ambiguous'
    targets: str = 'prompted'
    num_targets: int = 3
    focal_weight: float = 20.0
    bce_weight: float = 0.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    iou_error: str = 'squared'
    supervise_all_ious: bool = False

    def __post_init__(self):
        recipe_checks.plain(self)
        recipe_checks.check(self, WEIGHTS)

    @property
    def decoders(self) -> dict[str, Any]:
        """For `tfds.load(decoders=...)`: JPEGs arrive as bytes, so the recipe decodes them once."""
        import tensorflow_datasets as tfds

        return {'image': {'content': tfds.decode.SkipDecoding()}}

    @property
    def loss(self) -> losses.SegmentAnythingLoss:
        """The `SegmentAnythingLoss` with the recipe's numbers, for `model.compile(loss=...)`."""
        from segment_anything_tfds.training import losses

        return losses.SegmentAnythingLoss(**{name: getattr(self, name) for name in _LOSS})

    @property
    def model_options(self) -> dict[str, Any]:
        """What the model takes of the recipe, as `PromptableSegmenter(segmenter, **these)`."""
        return {name: getattr(self, name) for name in _MODEL}

    @tf.autograph.experimental.do_not_convert
    def __call__(
        self, example: Mapping[str, Any], seed: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Makes one row of a batch.

        Args:
          example: what `tfds.load('segment_anything')` gives, with `decoders` or without.
          seed: integer [2]. Everything random follows from it.

        Returns:
          `(inputs, masks, valid)`, with K = `num_masks`, S = `image_size`, m = `mask_size`, P = the
          largest numbers of points inside and outside:
          `inputs`: `image` uint8 [S, S, 3]; `content_size` int32 [2], its height and width without
            the padding right and below; `point_coords` float32 [K, P, 2], x and y in pixels of the
            image, centres at whole numbers; `point_labels` int32 [K, P], 1, 0 or -1 (padding);
            `boxes_xyxy` float32 [K, 4], centres of the corner pixels; `has_box` float32 [K];
            `area` int32 [K], pixels of the whole mask in the original image; `image_id` int64 [];
            and with `mask_input_probability` also `mask_input` float32 [K, S / 4, S / 4] and
            `has_mask_input` float32 [K];
          `masks`: uint8 [K, m, m]; with several targets [K, T, m, m], of which the first is the
            prompted mask's and empty ones do not count; `'levels'` has T = 4, the other three
            being whole, part and subpart;
          `valid`: float32 [K], 1 for a mask of at least one drawn pixel, 0 for padding.
        """
        seeds = tf.unstack(tf.random.split(tf.ensure_shape(seed, [2]), 8))
        size = mask_choice.image_size(example)
        geometry = placed = placement.geometry(self, size, seeds[0], seeds[1])
        chosen = mask_choice.choose(self, example['annotations'], size, geometry, seeds[2])
        window = None
        if self.scale_range is not None:
            window = tf.gather(geometry.window, [1, 0, 3, 2])
            geometry = geometry._replace(window=tf.pad(geometry.window_size, [[2, 0]]))
            chosen['point_coords'] -= tf.cast(window[:2], tf.float32)
        read = mask_choice.read(chosen['counts'], size, window)
        inside = chosen['boxes']
        if window is not None:
            inside = rle.bbox(read, convention='xyxy_inclusive')
        masks, shown = transforms.draw_shown(read, geometry, (self.mask_size,) * 2)
        valid = tf.cast(shown, tf.float32)
        points, labels = recipe_prompts.points(self, read, chosen['point_coords'], geometry, seeds)
        moved = transforms.apply_to_points(points, geometry)
        frames = recipe_prompts.frames(self, inside, geometry, seeds[5])
        inputs = recipe_prompts.mixed(self, moved, labels, frames, valid, seeds[6])
        if self.mask_input_probability:
            inputs.update(recipe_prompts.mask_input(self, read, geometry, valid, seeds[7]))
        if self.targets != 'prompted':
            found = click_targets.find(self, example['annotations'], size, window, chosen)
            single = recipe_prompts.is_single_click(inputs)
            seed = tf.random.fold_in(seeds[2], 1)
            masks = click_targets.draw(self, found, points[:, 0], single, geometry, seed)
        inputs['area'] = chosen['area']
        padding = {'point_labels': -1}
        inputs = {name: self._padded(x, padding.get(name, 0)) for name, x in inputs.items()}
        inputs['image'] = placement.square(self, example['image']['content'], placed)
        inputs['content_size'] = tf.ensure_shape(geometry.size, [2])
        inputs['image_id'] = tf.cast(example['image']['image_id'], tf.int64)
        return inputs, self._padded(masks), self._padded(valid)

    def _padded(self, rows: tf.Tensor, value: int = 0) -> tf.Tensor:
        return mask_choice.padded(rows, self.num_masks, value)

    def batches(
        self,
        dataset: tf.data.Dataset,
        batch_size: int,
        *,
        seed: int,
        drop_remainder: bool = False,
        initial_epoch: int = 0,
        initial_batch: int = 0,
    ) -> tf.data.Dataset:
        """Maps the recipe over a dataset and batches it; each pass draws anew, each run the same.

        A run that was stopped goes on with the draws it would have made: after n passes over a
        dataset that ends with `initial_epoch=n`, as `model.fit(initial_epoch=n)` has it; after n
        batches of one that repeats with `initial_batch=n`, which reads on from there without
        decoding what lies before. The dataset must give its examples in the same order again.

        Args:
          dataset: examples, already shuffled or repeated as wished.
          batch_size: images a batch.
          seed: Python int; equal seeds give equal batches in the same order of examples.
          drop_remainder: leave out a last smaller batch.
          initial_epoch: passes that were made before.
          initial_batch: batches to leave out at the start of each pass.

        Returns:
          A dataset of `(inputs, masks, valid)` with a leading batch dimension, prefetched.
        """
        return (
            tf.data.Dataset.zip(dataset, pass_count.seeds(seed, initial_epoch))
            .skip(initial_batch * batch_size)
            .map(self, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(batch_size, drop_remainder=drop_remainder)
            .prefetch(tf.data.AUTOTUNE)
        )
