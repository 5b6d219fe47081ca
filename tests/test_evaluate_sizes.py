"""Judging at the size of the image, against a plain loop around Meta's `SamPredictor`."""

import numpy as np
import pytest
from meta_reference import meta  # noqa: F401  (a fixture)
from pycocotools import mask as coco_mask
from scipy import ndimage

from segment_anything_tfds import training
from segment_anything_tfds.training import evaluation
from segment_anything_tfds.training.scoring import depth as depth_lib
from segment_anything_tfds.training.scoring import fullsize, next_click

pytest.importorskip('keras_hub')

# A loop as people write it: everything at full size, one mask after another. Distances by SciPy.
LOOP = """
from scipy import ndimage
sam = side.random_sam(64, seed=3, global_attn_indexes=(0, 1), mlp_dim=128)
out.update(side.pack(sam))

def deepest(region):
    distance = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return distance.max(), np.unravel_index(distance.argmax(), region.shape)[::-1]

def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)

found = []
for number in range(int(data['images'])):
    predictor = side.predictor(sam, data[f'image{number}'])
    for truth in data[f'masks{number}'].astype(bool):
        rows, columns = np.nonzero(truth)
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
        row = [iou(truth, predictor.predict(box=box, multimask_output=False)[0][0])]
        points, labels, logits, guess = [deepest(truth)[1]], [1], None, None
        for click in range(1, 6):
            if click > 1:
                missed, wrong = deepest(truth & ~guess), deepest(guess & ~truth)
                if missed[0] > wrong[0]:
                    points.append(missed[1]), labels.append(1)
                elif wrong[0]:
                    points.append(wrong[1]), labels.append(0)
            masks, scores, low = predictor.predict(
                np.array(points, float), np.array(labels), mask_input=logits,
                multimask_output=click == 1,
            )
            best = scores.argmax()
            guess, logits = masks[best], low[best][None]
            if click in (1, 2, 5):
                row += [iou(truth, guess), max(iou(truth, mask) for mask in masks)]
        found.append(row)
out['found'] = np.array(found)
"""


def _scene(seed, height, width, count):
    """An image of ellipses, and the ellipses: some of one pixel, some cut by the edge."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 190, (height, width, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width]
    masks = []
    for _ in range(count):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        a, b = rng.uniform(0.4, height / 3), rng.uniform(0.4, width / 3)
        mask = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1
        mask[int(y), int(x)] = True
        image[mask] = image[mask] // 2 + rng.integers(0, 120, 3).astype(np.uint8)
        masks.append(mask)
    return image, np.array(masks)


def _example(image, masks):
    counts = [
        coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))['counts'] for mask in masks
    ]
    return {'image': {'content': image}, 'annotations': {'segmentation': {'counts': counts}}}


@pytest.mark.parametrize('each', [5, pytest.param(51, marks=pytest.mark.slow)])
def test_equals_a_plain_loop_around_sam_predictor(meta, each):  # noqa: F811
    scenes = [
        _scene(seed, *size, each)
        for seed, size in enumerate([(90, 130), (130, 90), (70, 70), (64, 200)])
    ]
    arrays = {f'image{n}': image for n, (image, _) in enumerate(scenes)}
    arrays |= {f'masks{n}': masks for n, (_, masks) in enumerate(scenes)}
    theirs = meta.run(LOOP, images=np.array(len(scenes)), **arrays)
    expected, model = theirs['found'], _load(theirs)
    found = evaluation.evaluate_model(
        model, [_example(*scene) for scene in scenes], clicks=(1, 2, 5)
    )
    assert found['box']['count'] == len(expected) == 4 * each
    names = ['box', '1_clicks', '1_clicks', '2_clicks', '2_clicks', '5_clicks', '5_clicks']
    keys = ['mean_iou', *['mean_iou', 'oracle'] * 3]
    for column, (name, key) in enumerate(zip(names, keys, strict=True)):
        assert abs(found[name][key] - expected[:, column].mean()) < 1e-3, (name, key)


def _load(theirs):
    """A model with the tensors of a state dict."""
    from segment_anything_tfds.training.sam import meta_names

    segmenter = training.small_sam(64, hidden_size=32, num_layers=2)
    model = training.PromptableSegmenter(segmenter)
    for tensor in meta_names.tensors(model.backbone):
        tensor.write(theirs[f'sam/{tensor.name}'])
    return model


def test_boundary_is_that_of_the_reference_definition():
    """Mask minus its erosion by d steps of 3 x 3 in a padded image, as `boundary-iou-api`."""
    masks = _scene(3, 60, 90, 12)[1]
    distance = fullsize.boundary_distance((60, 90))
    assert distance == 2
    for mask in masks:
        eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance)
        found = fullsize.boundary(fullsize.cut(mask), distance)
        height, width = found.pixels.shape
        grid = np.zeros_like(mask)
        grid[found.top : found.top + height, found.left : found.left + width] = found.pixels
        np.testing.assert_array_equal(grid, mask & ~eroded)


def _regions():
    """Specks, blobs, rings, slits and full grids: bool arrays of many sizes."""
    rng = np.random.default_rng(4)
    for number in range(200):
        height, width = rng.integers(1, 160, 2)
        rows, columns = np.mgrid[:height, :width]
        noise = ndimage.gaussian_filter(rng.normal(size=(height, width)), rng.uniform(1, 20))
        centre, radius = rng.uniform(0, (height, width)), rng.uniform(1, 80)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        slit = np.ones((height, width), bool)
        slit[:, width // 2] = False
        kinds = [rng.random((height, width)) < rng.random(), noise > 0, distance < radius]
        kinds += [abs(distance - radius) < 6, slit, np.full((height, width), number % 9 > 0)]
        yield kinds[number % len(kinds)]


def _depth_by_scipy(region):
    """Squared distance to the outside of each pixel: int [H, W]."""
    distance = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.rint(distance**2).astype(int)


def test_deepest_pixel_is_that_of_a_distance_transform():
    for region in _regions():
        depth = _depth_by_scipy(region)
        place = np.unravel_index(depth.argmax(), depth.shape) if region.any() else (0, 0)
        assert tuple(depth_lib.deepest(region)) == (depth.max(), *place)
        assert depth_lib.deepest(region, depth.max()).squared == depth.max()
        assert depth_lib.deepest(region, 4 * depth.max() + 4000).squared in (0, depth.max())


def test_correction_is_in_the_deeper_error():
    labels = []
    for region in _regions():
        truth, guess = np.roll(region, 9, axis=1), np.roll(region[::-1], 3, axis=0)
        missed, wrong = (_depth_by_scipy(x) for x in (truth & ~guess, guess & ~truth))
        click = next_click.correction(fullsize.cut(truth), fullsize.cut(guess))
        labels.append(click.label)
        if not missed.any() and not wrong.any():
            assert click.label == -1
            continue
        deeper = missed if missed.max() > wrong.max() else wrong
        row, column = np.unravel_index(deeper.argmax(), deeper.shape)
        assert click == (column, row, int(deeper is missed))
    assert set(labels) == {-1, 0, 1}
