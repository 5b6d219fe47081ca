"""The rounds of a training step written out one after another, to compare with the loop."""

import keras
import numpy as np
import small_models

from segment_anything_tfds import training
from segment_anything_tfds.training.sam import rounds

SIDE, GRID = 32, 8


class OneAfterAnother(training.PromptableSegmenter):
    """Corrects, decodes and adds a loss, again and again, with one more point each time."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not training:  # as Keras does to build things
            return self.loss(y, y_pred, sample_weight)
        y_pred = dict(y_pred)
        embeddings = y_pred.pop('image_embeddings')
        total = self.loss(y, y_pred, sample_weight)
        clicked = rounds.plan(self.corrections, self.refine, seed=self.seed_generator)
        for number in range(clicked.shape[0]):
            x = self.corrected(x, y, y_pred, clicks=clicked[number])
            y_pred = self.decode(embeddings, x)
            total += self.loss(y, y_pred, sample_weight)
        return total


def batch(mask_size=GRID, outputs=0, count=3):
    """Two images with `count` masks, one of them not valid; `outputs` gives each output its own."""
    rng = np.random.default_rng(5)
    truth = np.zeros((2, count, mask_size, mask_size), np.uint8)
    truth[:, :, mask_size // 4 : mask_size // 2, mask_size // 8 :] = 1
    truth[1] = np.flip(truth[1], -2)
    if outputs:
        truth = np.stack([np.roll(truth, n, axis=-1) for n in range(outputs)], axis=2)
    inputs = {
        'image': rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8),
        'content_size': np.array([[SIDE, SIDE - 8], [SIDE, SIDE]], np.int32),
        'point_coords': rng.uniform(0, SIDE, (2, count, 1, 2)).astype(np.float32),
        'point_labels': np.ones((2, count, 1), np.int32),
        'boxes_xyxy': np.tile(np.float32([4, 8, 30, 16]), (2, count, 1)),
        'has_box': np.tile(np.float32([0, 1, 0]), (2, 1)),
    }
    valid = np.ones((2, count), np.float32)
    valid[1, -1] = 0
    return inputs, truth, valid


def model_of(kind=training.PromptableSegmenter, *, compiled=True, by_xla=False, **options):
    """A model that trains, of the same weights each time."""
    model = kind(small_models.as_new(SIDE), **options)
    model.compile(
        keras.optimizers.SGD(0.003),
        loss=training.SegmentAnythingLoss(),
        jit_compile=by_xla,
        run_eagerly=not compiled,
    )
    return model


def losses_and_state(kind, data, steps, **options):
    """The loss of each training step; behind the last the weights, and the state of the draws."""
    inputs, truth, valid = data
    model = model_of(kind, **options)
    variables = (*model.trainable_variables, model.seed_generator.state)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    found = [float(model.train_on_batch(inputs, truth, sample_weight=valid)) for _ in range(steps)]
    after = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    assert sum((one != other).any() for one, other in zip(before, after, strict=True)) > 50
    return found, after


def check(data, steps=1, loop_options=None, **options):
    """Whether the loop gives the same losses, step by step, the same weights, and draws as often.

    So the steps that follow are the same, too.
    """
    loop_options = {**options, **(loop_options or {})}
    looped, after = losses_and_state(training.PromptableSegmenter, data, steps, **loop_options)
    written, expected = losses_and_state(OneAfterAnother, data, steps, **options)
    np.testing.assert_allclose(looped, written, rtol=2e-5)
    for one, other in zip(after, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def check_compiled():
    """Clicks and refinements, on the Keras backend of this process, compiled as it is there."""
    by_xla = keras.backend.backend() == 'jax'
    check(batch(), 2, corrections=1, refine=True, by_xla=by_xla)
    check(batch(mask_size=2 * GRID), 2, corrections=1, by_xla=by_xla)
