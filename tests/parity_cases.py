"""Prompts, images and checks of the model against Meta's, for the process of each Keras backend."""

import numpy as np
from pycocotools import mask as coco_mask

from segment_anything_tfds import training
from segment_anything_tfds.training import evaluation
from segment_anything_tfds.training.sam import meta_names

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

PREDICT = """
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


def given():
    """What both sides are given."""
    found = {'prompts': np.array(repr(PROMPTS))}
    for shape, (height, width) in SHAPES.items():
        pixels = RNG.integers(0, 256, (height, width, 3))
        found[f'{shape}/image'] = pixels.astype(np.uint8)
        scale = np.array([width, height])
        found[f'{shape}/coords'] = RNG.uniform(0, 1, (3, 2)) * scale
        found[f'{shape}/labels'] = np.array([1, 0, 1])
        found[f'{shape}/box'] = np.concatenate([scale * 0.2, scale * 0.7])
    for size, options in SIZES.items():
        grid = options['image_size'] // 4
        found[size] = np.array(repr(options))
        found[f'{size}/mask_input'] = RNG.normal(size=(1, grid, grid)).astype(np.float32) * 4
    return found


def make_model(reference, size):
    """A `PromptableSegmenter` with the weights of Meta's model."""
    import keras_hub

    options = {'image_size': 64, 'embed_dim': 32, 'depth': 2, **SIZES[size]}
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


def canvas(pixels, side):
    """The resized image in the corner of a square whose padding is anything."""
    height, width = pixels.shape[:2]
    square = RNG.integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    square[0, :height, :width] = pixels
    return square, np.array([[height, width]], np.int32)


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


def _numpy(tensor):
    import keras

    return keras.ops.convert_to_numpy(tensor)


def check_embedding(reference, model, size, shape):
    """Compares and gives the image's embedding."""
    at = f'{size}/{shape}'
    image, content_size = canvas(reference[f'{at}/resized'], SIZES[size]['image_size'])
    embedding = model.encode(image, content_size)
    expected = reference[f'{at}/embedding']
    assert np.abs(_numpy(embedding) - expected).max() < 1e-4 * expected.std()
    return embedding


def check_model(reference, model, size, shape):
    """Outputs of the model, with unused slots and without."""
    at = f'{size}/{shape}'
    embedding = check_embedding(reference, model, size, shape)
    for prompt, (points, box, mask) in PROMPTS.items():
        for spare in (0, 2):
            inputs = _inputs(reference, size, shape, points, box, mask, spare)
            outputs = {k: _numpy(v)[0, 0] for k, v in model.decode(embedding, inputs).items()}
            for multimask, chosen in ((False, slice(0, 1)), (True, slice(1, None))):
                here = f'{at}/{prompt}/{multimask}'
                check_logits(reference, here, outputs['masks'][chosen])
                iou = reference[f'{here}/iou']
                np.testing.assert_allclose(outputs['iou_pred'][chosen], iou, atol=1e-4)


def check_logits(reference, here, found):
    low = reference[f'{here}/low']
    assert np.abs(found - low).max() < 1e-4 * low.std(), here


def check_predictor(reference, model, size):
    """Full-size masks, scores and logits of `training.Predictor`, one image after the other."""
    predictor = training.Predictor(model)
    same = total = 0
    for shape in SHAPES:
        predictor.set_image(reference[f'{shape}/image'])
        for prompt, (points, box, mask) in PROMPTS.items():
            for multimask in (False, True):
                masks, scores, low = predictor.predict(
                    point_coords=reference[f'{shape}/coords'][:points] if points else None,
                    point_labels=reference[f'{shape}/labels'][:points] if points else None,
                    box=reference[f'{shape}/box'] if box else None,
                    mask_input=reference[f'{size}/mask_input'] if mask else None,
                    multimask_output=multimask,
                )
                here = f'{size}/{shape}/{prompt}/{multimask}'
                check_logits(reference, here, low)
                np.testing.assert_allclose(scores, reference[f'{here}/iou'], atol=1e-4)
                expected = reference[f'{here}/masks']
                assert masks.shape == expected.shape and masks.dtype == bool
                assert (masks != expected).sum() <= 1, here  # a logit of 0, but for rounding
                same, total = same + (masks & expected).sum(), total + (masks | expected).sum()
    assert same >= 0.9999 * total


def evaluated(reference, model):
    """What `evaluate_model` finds on the images, for rectangles in them: means by prompt."""
    examples = []
    for shape, (height, width) in SHAPES.items():
        masks = np.zeros((2, height, width), np.uint8)
        masks[0, height // 4 : height // 2, width // 8 : width // 2] = 1
        masks[1, height // 2 :, width // 3 :] = 1
        counts = [coco_mask.encode(np.asfortranarray(mask))['counts'] for mask in masks]
        annotations = {'segmentation': {'counts': counts}}
        image = {'content': reference[f'{shape}/image']}
        examples.append({'image': image, 'annotations': annotations})
    found = evaluation.evaluate_model(model, examples, clicks=(1, 2), batch_size=2)
    names = ('mean_iou', 'oracle', 'boundary_iou')
    return np.array([[row[name] for name in names] for row in found.values()])


def check_everything(reference):
    """Images, prompts and judging, in the process of another backend."""
    for size in SIZES:
        model = make_model(reference, size)
        for shape in SHAPES:
            check_embedding(reference, model, size, shape)
        check_predictor(reference, model, size)
    np.testing.assert_allclose(evaluated(reference, model), reference['evaluated'], atol=2e-3)
