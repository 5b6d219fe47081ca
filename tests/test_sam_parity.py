"""The model against Meta's own classes: same weights, same images, same prompts, same outputs."""

import numpy as np
import pytest
from meta_reference import meta  # noqa: F401  (a fixture)

from segment_anything_tfds import training
from segment_anything_tfds.training.sam import meta_names

pytest.importorskip('keras_hub')

SIZES = {'small': {'image_size': 64}, 'larger': {'image_size': 128, 'embed_dim': 48, 'depth': 3}}
SHAPES = {'wide': (60, 150), 'tall': (201, 97), 'square': (80, 80)}
RNG = np.random.default_rng(7)

# What each prompt has: clicks, a box, an earlier mask.
PROMPTS = {
    'point': (1, False, False),
    'points': (3, False, False),
    'box': (0, True, False),
    'box_and_points': (2, True, False),
    'point_and_mask': (1, False, True),
    'box_and_mask': (0, True, True),
    'mask': (0, False, True),
}

_PREDICT = """
for size in ('small', 'larger'):
    sam = side.random_sam(**eval(str(data[size])))
    out.update({f'{size}/{name}': value for name, value in side.pack(sam).items()})
    for shape in ('wide', 'tall', 'square'):
        predictor = side.predictor(sam, data[f'{shape}/image'])
        at = f'{size}/{shape}'
        out[f'{at}/resized'] = predictor.transform.apply_image(data[f'{shape}/image'])
        out[f'{at}/embedding'] = predictor.features.numpy().transpose(0, 2, 3, 1)
        for prompt, (points, box, mask) in eval(str(data['prompts'])).items():
            coords, labels = data[f'{shape}/coords'][:points], data[f'{shape}/labels'][:points]
            for multimask in (False, True):
                masks, iou, low = predictor.predict(
                    point_coords=coords if points else None,
                    point_labels=labels if points else None,
                    box=data[f'{shape}/box'] if box else None,
                    mask_input=data[f'{size}/mask_input'] if mask else None,
                    multimask_output=multimask,
                )
                here = f'{at}/{prompt}/{multimask}'
                out[f'{here}/masks'], out[f'{here}/iou'], out[f'{here}/low'] = masks, iou, low
"""


def _given():
    given = {'prompts': np.array(repr(PROMPTS))}
    for shape, (height, width) in SHAPES.items():
        pixels = RNG.integers(0, 256, (height, width, 3))
        given[f'{shape}/image'] = pixels.astype(np.uint8)
        scale = np.array([width, height])
        given[f'{shape}/coords'] = RNG.uniform(0, 1, (3, 2)) * scale
        given[f'{shape}/labels'] = np.array([1, 0, 1])
        given[f'{shape}/box'] = np.concatenate([scale * 0.2, scale * 0.7])
    for size, options in SIZES.items():
        grid = options['image_size'] // 4
        given[size] = np.array(repr(options))
        given[f'{size}/mask_input'] = RNG.normal(size=(1, grid, grid)).astype(np.float32) * 4
    return given


@pytest.fixture(scope='module')
def reference(meta):  # noqa: F811
    given = _given()
    return {**given, **meta.run(_PREDICT, **given)}


@pytest.fixture(scope='module')
def models(reference):
    return {size: _model(reference, size) for size in SIZES}


def _model(reference, size):
    options = {'image_size': 64, 'embed_dim': 32, 'depth': 2, **SIZES[size]}
    import keras_hub

    side, grid = options['image_size'], options['image_size'] // 16
    backbone = keras_hub.models.SAMBackbone(
        image_encoder=keras_hub.models.ViTDetBackbone(
            hidden_size=options['embed_dim'],
            num_layers=options['depth'],
            intermediate_dim=4 * options['embed_dim'],
            num_heads=4,
            global_attention_layer_indices=[1],
            num_output_channels=32,
            window_size=3,
            image_shape=(side, side, 3),
        ),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=32, image_embedding_size=(grid, grid), input_image_size=(side, side)
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=32,
            intermediate_dim=64,
            num_heads=8,
            embedding_dim=32,
            iou_head_hidden_dim=32,
        ),
    )
    model = training.PromptableSegmenter(backbone)
    for tensor in meta_names.tensors(backbone):
        value = reference[f'{size}/sam/{tensor.name}']
        assert value.shape == tensor.shape, tensor.name
        tensor.write(value)
    return model


def _canvas(pixels, side):
    """The resized image in the corner of a square whose padding is anything."""
    height, width = pixels.shape[:2]
    canvas = RNG.integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    canvas[0, :height, :width] = pixels
    return canvas, np.array([[height, width]], np.int32)


def _inputs(reference, size, shape, points, box, mask, spare):
    """The prompt as the model takes it, with `spare` unused slots of each kind."""
    height, width = SHAPES[shape]
    resized = reference[f'{size}/{shape}/resized'].shape
    scale = np.array([resized[1] / width, resized[0] / height])
    coords = RNG.uniform(0, 60, (1, 1, points + spare, 2)).astype(np.float32)
    coords[0, 0, :points] = reference[f'{shape}/coords'][:points] * scale
    labels = np.full((1, 1, points + spare), -1, np.int32)
    labels[0, 0, :points] = reference[f'{shape}/labels'][:points]
    inputs = {'point_coords': coords, 'point_labels': labels}
    if box or spare:
        corners = reference[f'{shape}/box'].reshape(2, 2) * scale
        inputs['boxes_xyxy'] = corners.reshape(1, 1, 4).astype(np.float32)
        inputs['has_box'] = np.full((1, 1), box, np.float32)
    if mask or spare:
        inputs['mask_input'] = reference[f'{size}/mask_input'][None]
        inputs['has_mask_input'] = np.full((1, 1), mask, np.float32)
    return inputs


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('size', SIZES)
def test_outputs_are_those_of_sam_predictor(reference, models, size, shape):
    model = models[size]
    at = f'{size}/{shape}'
    image, content_size = _canvas(reference[f'{at}/resized'], SIZES[size]['image_size'])
    embedding = np.asarray(model.encode(image, content_size))
    expected = reference[f'{at}/embedding']
    assert np.abs(embedding - expected).max() < 1e-4 * expected.std()
    for prompt, (points, box, mask) in PROMPTS.items():
        for spare in (0, 2):
            inputs = _inputs(reference, size, shape, points, box, mask, spare)
            outputs = model.decode(embedding, inputs)
            for multimask, chosen in ((False, slice(0, 1)), (True, slice(1, None))):
                here = f'{at}/{prompt}/{multimask}'
                low = reference[f'{here}/low']
                got = np.asarray(outputs['masks'])[0, 0, chosen]
                assert np.abs(got - low).max() < 1e-4 * low.std(), (here, spare)
                iou = np.asarray(outputs['iou_pred'])[0, 0, chosen]
                np.testing.assert_allclose(iou, reference[f'{here}/iou'], atol=1e-4)


def test_padding_of_any_colour_means_nothing(reference, models):
    image, content_size = _canvas(reference['small/wide/resized'], 64)
    other, _ = _canvas(reference['small/wide/resized'], 64)
    model = models['small']
    assert (image != other).any()
    np.testing.assert_array_equal(
        model.encode(image, content_size), model.encode(other, content_size)
    )
    assert np.abs(np.asarray(model.encode(image)) - model.encode(other)).max() > 0.1
