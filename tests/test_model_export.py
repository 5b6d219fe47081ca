"""The model in other runtimes: ONNX by onnxruntime, and TensorFlow's SavedModel."""

import numpy as np
import pytest

from segment_anything_tfds import training

pytest.importorskip('keras_hub')

SIDE, GRID = 64, 16
RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
SIZES = np.array([[50, SIDE], [SIDE, 31]], np.int32)


@pytest.fixture(scope='module')
def model():
    return training.PromptableSegmenter(training.small_sam(SIDE, hidden_size=16, num_layers=1))


def _prompts(count, points):
    corner = RNG.uniform(0, 30, (1, count, 2))
    return {
        'point_coords': RNG.uniform(0, SIDE, (1, count, points, 2)).astype(np.float32),
        'point_labels': RNG.integers(-1, 2, (1, count, points)).astype(np.int32),
        'boxes_xyxy': np.concatenate([corner, corner + 20], -1).astype(np.float32),
        'has_box': RNG.integers(0, 2, (1, count)).astype(np.float32),
        'mask_input': RNG.normal(size=(1, count, GRID, GRID)).astype(np.float32),
        'has_mask_input': RNG.integers(0, 2, (1, count)).astype(np.float32),
    }


def test_onnxruntime_agrees(model, tmp_path):
    pytest.importorskip('tf2onnx')
    runtime = pytest.importorskip('onnxruntime')
    files = training.export_onnx(model, tmp_path / 'new' / 'sam.onnx')
    assert [file.name for file in files] == ['sam_encoder.onnx', 'sam_decoder.onnx']
    assert sorted(files.encoder.parent.iterdir()) == sorted(files)
    encoder, decoder = (runtime.InferenceSession(str(file)) for file in files)
    (embeddings,) = encoder.run(None, {'image': IMAGES, 'content_size': SIZES})
    expected = model.encode(IMAGES, SIZES).numpy()
    assert np.abs(embeddings - expected).max() < 1e-4 * expected.std()
    for count, points in ((1, 1), (3, 2), (1, 0), (3, 0)):
        prompts = _prompts(count, points)
        found = decoder.run(['masks', 'iou_pred'], {'image_embeddings': embeddings[:1], **prompts})
        outputs = model.decode(expected[:1], prompts)
        for value, name in zip(found, ('masks', 'iou_pred'), strict=True):
            truth = outputs[name].numpy()
            assert value.shape == truth.shape
            assert np.abs(value - truth).max() < 1e-4 * max(1, truth.std()), name


def test_a_saved_model_of_tensorflow_agrees(model, tmp_path):
    import tensorflow as tf

    spec = {'image': tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8)}
    spec['content_size'] = tf.TensorSpec([None, 2], tf.int32)
    prompts = _prompts(3, 2)
    for name, value in prompts.items():
        spec[name] = tf.TensorSpec([None, *value.shape[1:]], value.dtype)
    model.export(str(tmp_path / 'sam'), format='tf_saved_model', input_signature=[spec])
    again = tf.saved_model.load(str(tmp_path / 'sam'))
    inputs = {'image': IMAGES[:1], 'content_size': SIZES[:1], **prompts}
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    expected = model(inputs)
    for name, value in again.serve(inputs).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4)
