"""Training runs: stopped and gone on with, at a higher resolution, by LoRA, in float16."""

import importlib.util

import building
import correction_rounds
import keras
import numpy as np
import pytest
import samples
import small_models
import tensorflow as tf

from segment_anything_tfds import training
from segment_anything_tfds.training import checkpoints, losses

pytest.importorskip('keras_hub')

SIDE, GRID = 32, 8
RNG = np.random.default_rng(11)


def _batch(mask_size=GRID, count=2):
    """One image with `count` masks, a click in each."""
    truth = np.zeros((1, count, mask_size, mask_size), np.uint8)
    truth[:, :, mask_size // 4 : mask_size // 2, mask_size // 8 :] = 1
    inputs = {
        'image': RNG.integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.uint8),
        'content_size': np.array([[SIDE, SIDE - 8]], np.int32),
        'point_coords': RNG.uniform(0, SIDE, (1, count, 1, 2)).astype(np.float32),
        'point_labels': np.ones((1, count, 1), np.int32),
    }
    return inputs, truth, np.ones((1, count), np.float32)


def _compiled(segmenter, **options):
    model = training.PromptableSegmenter(segmenter, **options)
    model.compile(keras.optimizers.AdamW(1e-3), run_eagerly=True)
    return model


class _Losses(keras.callbacks.Callback):
    """The loss of each step, not the mean so far."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs['loss'])
        self.model.reset_metrics()


def _examples(count=4):
    """Examples of the data set, as a pipeline gives them."""

    def example(number):
        annotations = samples.record(number)['annotations']
        columns = {
            name: np.array([a[name] for a in annotations])
            for name in ('area', 'predicted_iou', 'stability_score', 'point_coords')
        }
        counts = [a['segmentation']['counts'].encode() for a in annotations]
        boxes = np.array([a['bbox'] for a in annotations])
        size = np.array([samples.HEIGHT, samples.WIDTH] * 2, np.float32)
        corners = np.stack(
            [boxes[:, 1], boxes[:, 0], boxes[:, 1] + boxes[:, 3], boxes[:, 0] + boxes[:, 2]], 1
        )
        return {
            'image': {
                'content': samples.jpeg(number),
                'height': np.uint64(samples.HEIGHT),
                'width': np.uint64(samples.WIDTH),
                'image_id': np.uint64(number),
            },
            'annotations': {
                **columns,
                'area': columns['area'].astype(np.uint64),
                'bbox': (corners / size).astype(np.float32),
                'segmentation': {
                    'counts': np.array(counts),
                    'size': np.tile(size[:2].astype(np.uint64), (len(counts), 1)),
                },
            },
        }

    made = [example(number) for number in range(1, count + 1)]
    stacked = tf.nest.map_structure(lambda *leaves: np.stack(leaves), *made)
    return tf.data.Dataset.from_tensor_slices(stacked)


def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path):
    """Step by step the losses of an unstopped run, with clicks and prompts that are drawn."""
    recipe = training.recipes.get('sam', image_size=SIDE, mask_size=GRID, num_masks=3)
    examples = _examples()

    def run(model, initial_epoch=0):
        batches = recipe.batches(examples, 2, seed=5, initial_epoch=initial_epoch)
        callbacks = [losses_of := _Losses(), keras.callbacks.LambdaCallback(on_epoch_end=save)]
        model.fit(batches, epochs=2, initial_epoch=initial_epoch, callbacks=callbacks, verbose=0)
        return losses_of.found

    def save(epoch, logs):
        if epoch == 0:
            model.save(tmp_path / 'stopped.keras')
            states.append(model.seed_generator.state.numpy())

    states, model = [], _compiled(small_models.as_new(SIDE), corrections=1)
    whole = run(model)
    again = keras.saving.load_model(tmp_path / 'stopped.keras')
    again.run_eagerly = True
    np.testing.assert_array_equal(again.seed_generator.state, *states)
    found = run(again, initial_epoch=1)
    assert len(whole) == 4 and states[0].any()
    np.testing.assert_allclose(found, whole[2:], rtol=1e-5)


def test_batches_go_on_within_a_pass():
    recipe = training.recipes.get('sam', image_size=SIDE, mask_size=GRID, num_masks=3)
    repeated = _examples().repeat()
    whole = list(recipe.batches(repeated, 2, seed=5).take(4))
    later = list(recipe.batches(repeated, 2, seed=5, initial_batch=2).take(2))
    tf.nest.map_structure(np.testing.assert_array_equal, whole[2:], later)
    points = [inputs['point_coords'].numpy() for inputs, _, _ in whole]
    assert (points[0] != points[2]).any()  # a second pass draws other prompts


ROUNDS = {
    'clicks': ({}, {'corrections': 2}),
    'clicks and refinements': ({}, {'corrections': 1, 'refine': True}),
    'refinements alone': ({}, {'refine': True}),
    'larger masks': ({'mask_size': 2 * GRID}, {'corrections': 2}),
    "a teacher's masks": ({'outputs': 4}, {'corrections': 2}),
    'coin flips, boxes with padding': (
        {},
        {'corrections': 2, 'multimask': 'coin_flip', 'prompt_layout': 'sam2'},
    ),
}


@pytest.mark.parametrize('case', ROUNDS)
def test_rounds_in_a_loop_give_the_losses_of_rounds_one_after_another(case):
    data, options = ROUNDS[case]
    correction_rounds.check(correction_rounds.batch(**data), compiled=False, **options)


def test_a_compiled_loop_takes_masks_larger_than_the_logits():
    data, options = ROUNDS['larger masks']
    given = correction_rounds.batch(**data)
    correction_rounds.check(given, loop_options={'compiled': True}, compiled=False, **options)


def test_a_graph_holds_one_round():
    """So a step of ten rounds is traced as soon as one of two."""
    inputs, truth, valid = correction_rounds.batch()
    counts = []
    for corrections in (1, 8):
        model = training.PromptableSegmenter(small_models.as_new(SIDE), corrections=corrections)
        model.compile(keras.optimizers.SGD(0.03), jit_compile=False)
        losses_of = tf.function(
            lambda model=model: model.compute_loss(
                inputs, truth, model(inputs, training=True), valid
            )
        )
        graph = losses_of.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        counts.append(len(nodes))
    assert counts[1] < 1.1 * counts[0]


def test_a_step_is_traced_once():
    """TensorFlow traces again what makes variables, such as an optimizer's."""
    traced = []

    class Counting(training.PromptableSegmenter):
        def train_step(self, *args, **kwargs):
            traced.append(args)
            return super().train_step(*args, **kwargs)

    model = Counting(small_models.as_new(SIDE))
    model.compile(keras.optimizers.AdamW(1e-3), jit_compile=False)
    inputs, truth, valid = correction_rounds.batch()
    batches = tf.data.Dataset.from_tensor_slices((inputs, truth, valid)).repeat().batch(2)
    model.fit(batches, steps_per_epoch=1, epochs=2, verbose=0)
    assert len(traced) == 1


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['tensorflow', 'jax', 'torch'])
def test_rounds_in_a_loop_on_each_backend(backend, monkeypatch):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f'{backend} is not installed')
    monkeypatch.setenv('KERAS_BACKEND', backend)
    building.run_python('import correction_rounds; correction_rounds.check_compiled()')


@pytest.mark.slow
def test_xla_takes_batches_of_any_size():
    """In a loop where the size is known, else with the rounds written out: losses are the same."""
    inputs, truth, valid = correction_rounds.batch()
    looped = correction_rounds.model_of(corrections=2, by_xla=True)
    loss = float(looped.train_on_batch(inputs, truth, sample_weight=valid))
    model = correction_rounds.model_of(corrections=2, by_xla=True)
    batches = tf.data.Dataset.from_tensor_slices((inputs, truth, valid)).batch(2)
    assert batches.element_spec[1].shape[0] is None
    written = model.fit(batches, verbose=0).history['loss']
    np.testing.assert_allclose(written, [loss], rtol=1e-4)


def _torch_loss(torch, truth, logits, iou_pred, inside):
    """SAM's loss of logits that are enlarged to the truth's size, written out in PyTorch."""
    size = truth.shape[-2:]
    large = torch.nn.functional.interpolate(logits, size, mode='bilinear', align_corners=False)
    truth = truth[:, None].expand_as(large)
    p, inside = torch.sigmoid(large), inside.expand_as(large)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(large, truth, reduction='none')
    p_t, alpha = torch.where(truth > 0, p, 1 - p), torch.where(truth > 0, 0.25, 0.75)
    focal = (alpha * (1 - p_t) ** 2 * entropy * inside).sum((-2, -1)) / inside.sum((-2, -1))
    p, truth = p * inside, truth * inside
    dice = 1 - (2 * (p * truth).sum((-2, -1)) + 1) / (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    guess = (large > 0) * inside
    iou = (guess * truth).sum((-2, -1)) / ((guess + truth) > 0).sum((-2, -1))
    mask_loss = 20 * focal + dice
    best = mask_loss.argmin(-1, keepdim=True)
    return (mask_loss + (iou_pred - iou) ** 2).gather(-1, best)[:, 0]


def test_a_loss_at_a_higher_resolution_is_that_of_enlarged_logits():
    torch = pytest.importorskip('torch')
    logits = RNG.normal(size=(3, 4, GRID, GRID)).astype(np.float32)
    iou_pred = RNG.normal(size=(3, 4)).astype(np.float32)
    truth = (RNG.random((3, 4 * GRID, 4 * GRID)) > 0.6).astype(np.float32)
    inside = np.zeros((4 * GRID, 4 * GRID), np.float32)
    inside[: 3 * GRID, : 4 * GRID - 3] = 1
    share = np.tile(np.float32([0.75, (4 * GRID - 3) / (4 * GRID)]), (3, 1))
    tensors = [torch.tensor(x, requires_grad=True) for x in (logits, iou_pred)]
    expected = _torch_loss(torch, torch.tensor(truth), *tensors, torch.tensor(inside))
    expected.sum().backward()
    variables = [tf.Variable(logits), tf.Variable(iou_pred)]
    with tf.GradientTape() as tape:
        outputs = {'masks': variables[0], 'iou_pred': variables[1], 'content': tf.constant(share)}
        found = losses.SegmentAnythingLoss(reduction=None)(truth, outputs)
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-5)
    for gradient, tensor in zip(tape.gradient(found, variables), tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad, atol=1e-5)


def test_a_step_at_the_resolution_of_the_image():
    model = _compiled(small_models.as_new(SIDE), corrections=1)
    inputs, truth, valid = _batch(mask_size=SIDE)
    clicked = model.corrected(inputs, truth, model(inputs))
    point = np.asarray(clicked['point_coords'])[0, :, 1]
    np.testing.assert_allclose(point, np.round(point))  # a pixel of the image
    assert (point[:, 0] < SIDE - 8).all()  # not in the padding
    before = model(inputs)['masks'].numpy()
    assert np.isfinite(model.train_on_batch(inputs, truth, sample_weight=valid))
    assert np.abs(model(inputs)['masks'].numpy() - before).max() > 0
    with pytest.raises(ValueError, match=r'expected `y_pred` with the rank .* got \[1, 2, 4, 8'):
        model.test_on_batch(inputs, truth[..., : SIDE - 1], sample_weight=valid)


def test_lora_trains_the_attention_of_the_encoder(tmp_path):
    model = training.PromptableSegmenter(training.small_sam(SIDE, hidden_size=16, num_layers=1))
    encoder = model.backbone.image_encoder
    inputs, truth, valid = _batch()
    before = model(inputs)['masks'].numpy()
    model.enable_lora(2)
    np.testing.assert_array_equal(model(inputs)['masks'], before)  # it begins as nothing
    assert len(encoder.trainable_variables) == 4  # two matrices for qkv, two for the projection
    with pytest.raises(ValueError, match=r'expected `model` without LoRA; got one of rank 2'):
        model.enable_lora(4)
    frozen = [v.numpy() for v in encoder.non_trainable_variables]
    model.compile(keras.optimizers.AdamW(1e-2), run_eagerly=True)
    for _ in range(2):  # one factor is zero at first, so the other's gradient is
        model.train_on_batch(inputs, truth, sample_weight=valid)
    for was, now in zip(frozen, encoder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(was, now)
    assert all(np.abs(v.numpy()).max() > 0 for v in encoder.trainable_variables)
    after = model(inputs)['masks'].numpy()
    model.save(tmp_path / 'lora.keras')
    checkpoints.save(model, tmp_path / 'lora.pth')
    again = keras.saving.load_model(tmp_path / 'lora.keras')
    np.testing.assert_allclose(again(inputs)['masks'], after, atol=1e-4)
    assert not again.backbone.image_encoder.trainable_variables
    np.testing.assert_allclose(
        checkpoints.load(tmp_path / 'lora.pth')(inputs)['masks'], after, atol=1e-4
    )


def test_loras_of_kerashub_that_find_no_layer_are_refused():
    model = training.PromptableSegmenter(training.small_sam(SIDE, hidden_size=16, num_layers=1))
    model.backbone.enable_lora(4)
    with pytest.raises(ValueError, match=r'got one whose `backbone\.enable_lora` found no layer'):
        model.compile()


def test_float16_scales_the_loss():
    segmenter = small_models.as_new(SIDE)
    config = segmenter.backbone.image_encoder.get_config()
    config.pop('dtype')
    keras.config.set_dtype_policy('mixed_float16')
    try:
        encoder = type(segmenter.backbone.image_encoder).from_config(config)
    finally:
        keras.config.set_dtype_policy('float32')
    backbone = type(segmenter.backbone)(
        image_encoder=encoder,
        prompt_encoder=segmenter.backbone.prompt_encoder,
        mask_decoder=segmenter.backbone.mask_decoder,
    )
    model = _compiled(backbone, corrections=1)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    inputs, truth, valid = _batch()
    model.optimizer.build(model.trainable_variables)
    before = [v.numpy() for v in encoder.trainable_variables]
    losses_of = [float(model.train_on_batch(inputs, truth, sample_weight=valid)) for _ in range(3)]
    assert np.isfinite(losses_of).all()
    moved = [
        (v.numpy() != was).any() for v, was in zip(encoder.trainable_variables, before, strict=True)
    ]
    assert all(moved)
    plain = _compiled(small_models.as_new(SIDE))
    assert not isinstance(plain.optimizer, keras.optimizers.LossScaleOptimizer)


_LOAD = """
from segment_anything_tfds import training
import keras, sys
model = keras.saving.load_model(sys.argv[1])
assert type(model) is training.PromptableSegmenter and model.corrections == 3
"""


def test_importing_training_is_enough_to_load(tmp_path):
    model = training.PromptableSegmenter(small_models.as_new(SIDE), corrections=3)
    model.save(tmp_path / 'sam.keras')
    building.run_python(_LOAD, tmp_path / 'sam.keras')
