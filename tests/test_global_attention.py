"""The image encoder with heads in turns: KerasHub's numbers, and no tensor of all heads' maps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip('keras_hub')

from segment_anything_tfds import annotate, training
from segment_anything_tfds.training.prediction import compiling
from segment_anything_tfds.training.sam import architecture, global_attention

SIDE, HEADS = 128, 3  # 64 tokens: a map is [64, 64]


@pytest.fixture(scope='module')
def model():
    keras.utils.set_random_seed(1)
    sizes = architecture.Sizes(
        image_size=SIDE,
        encoder_dim=24,
        encoder_layers=3,
        encoder_heads=HEADS,
        encoder_mlp_dim=32,
        window_size=3,  # does not divide 8, so windows are padded
        global_layers=(0, 2),
        dim=16,
        mask_channels=4,
        decoder_layers=1,
        decoder_mlp_dim=16,
        outputs=4,
        iou_depth=2,
        iou_dim=8,
    )
    made = training.PromptableSegmenter(architecture.build(sizes))
    rng = np.random.default_rng(2)
    for variable in made.backbone.image_encoder.weights:  # positions are zero at first
        variable.assign(rng.normal(0, 0.2, variable.shape))
    return made


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(3).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize('content', [None, [[128, 90], [50, 128]]])
def test_embeddings_are_those_of_kerashub(model, images, content):
    expected = np.asarray(model.encode(images, content))
    found = np.asarray(model.encode(images, content, heads_in_turns=True))
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_prediction_computes_so(model, images):
    sizes = np.full((2, 2), SIDE, np.int32)
    expected = np.asarray(model.encode(images, sizes))
    found = np.asarray(compiling.halves(model)[0](images, sizes))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('heads_in_turns', [False, True])
def test_no_tensor_holds_the_maps_of_all_heads(model, images, heads_in_turns):
    run = tf.function(lambda x: model.encode(x, heads_in_turns=heads_in_turns))
    graph = run.get_concrete_function(tf.constant(images)).graph
    wide = [
        output.name
        for op in graph.get_operations()
        for output in op.outputs
        if output.shape.rank
        and output.shape.as_list()[-2:] == [64, 64]
        and np.prod(output.shape.as_list()) >= HEADS * 64 * 64
    ]
    assert bool(wide) != heads_in_turns


def test_half_precision_stays_so(model, images):
    half = annotate.with_precision(model, 'mixed_bfloat16')
    expected, found = half.encode(images), half.encode(images, heads_in_turns=True)
    assert found.dtype == expected.dtype == tf.bfloat16
    expected, found = (np.asarray(tf.cast(x, tf.float32)) for x in (expected, found))
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()


def test_another_encoder_is_called_as_it_is(images):
    inputs = keras.Input((SIDE, SIDE, 3))
    other = keras.Model(inputs, keras.layers.AveragePooling2D(16)(inputs))
    pictures = images.astype(np.float32) / 255
    expected = np.asarray(other(pictures))
    np.testing.assert_array_equal(global_attention.encode(other, pictures), expected)
