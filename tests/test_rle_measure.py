"""Area, boxes and centroids against pycocotools and plain NumPy."""

import doctest

import harness
import hypothesis
import keras
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf
from pycocotools import mask as coco_mask

from segment_anything_tfds.ops import boxes, layers, rle
from segment_anything_tfds.ops.rle import (
    decoding,
    device,
    encoding,
    geometry,
    measure,
    membership,
    pairs,
    sample,
    sets,
    tree,
)

CONVENTIONS = ('coco', 'sa1b', 'xyxy_inclusive')
settings = hypothesis.settings(deadline=None, max_examples=150)


def reference_bbox(masks, convention):
    rows = []
    for mask in masks:
        y, x = np.nonzero(mask)
        if not y.size:
            rows.append([0, 0, 0, 0])
            continue
        x0, x1, y0, y1 = x.min(), x.max(), y.min(), y.max()
        rows.append(
            {
                'coco': [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
                'sa1b': [x0, y0, x1 - x0, y1 - y0],
                'xyxy_inclusive': [x0, y0, x1, y1],
            }[convention]
        )
    return np.reshape(rows, [-1, 4])


@rle_cases.compiled('s', 'z')
def measured(counts, size):
    found = {name: rle.bbox(counts, size, convention=name) for name in CONVENTIONS}
    for name in ('area', 'is_empty', 'centroid'):
        found[name] = getattr(rle, name)(counts, size)
    return found


@hypothesis.given(rle_cases.mask_stacks())
@settings
def test_measures_equal_the_drawn_masks(masks):
    got = measured(*rle_cases.as_tensors(masks))
    np.testing.assert_array_equal(got['area'], masks.sum((1, 2)))
    np.testing.assert_array_equal(got['is_empty'], ~masks.any((1, 2)))
    for convention in CONVENTIONS:
        np.testing.assert_array_equal(got[convention], reference_bbox(masks, convention))
    means = [np.argwhere(mask)[:, ::-1].mean(0) if mask.any() else [np.nan] * 2 for mask in masks]
    np.testing.assert_allclose(got['centroid'], np.reshape(means, [-1, 2]), rtol=1e-6)


def test_measures_equal_pycocotools_on_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        judged = rle_cases.coco(counts, size)
        # one at a time: pycocotools 2.0.11 cannot count more than 255 masks under NumPy 2
        np.testing.assert_array_equal(
            rle.area(counts, size), [int(coco_mask.area(one)) for one in judged]
        )
        got = rle.bbox(counts, size, convention='coco')
        np.testing.assert_array_equal(got, coco_mask.toBbox(judged))


def test_sa1b_box_and_area_are_those_of_the_annotations(shared_data):
    import json

    found = json.loads((shared_data / 'real_annotations.json').read_text())
    annotations = []

    def walk(part):
        if isinstance(part, dict) and 'bbox' in part:
            annotations.append(part)
        elif isinstance(part, (dict, list)):
            for inner in part.values() if isinstance(part, dict) else part:
                walk(inner)

    walk(found)
    assert annotations
    for annotation in annotations:
        segmentation = annotation['segmentation']
        counts, size = [segmentation['counts']], segmentation['size']
        np.testing.assert_array_equal(
            rle.bbox(counts, size, convention='sa1b')[0], annotation['bbox']
        )
        assert rle.area(counts, size).numpy() == annotation['area']


@pytest.mark.parametrize('convention,box_format', [('sa1b', 'sa1b'), ('coco', 'xywh')])
def test_conventions_are_formats_of_boxes(convention, box_format):
    counts, size = rle_cases.as_tensors(rle_cases.blobs(9, (40, 60)))
    given = rle.bbox(counts, size, convention=convention)
    inclusive = rle.bbox(counts, size, convention='xyxy_inclusive')
    got = boxes.convert(given, box_format, 'xyxy_inclusive')
    np.testing.assert_array_equal(got, inclusive)


def test_empty_runs_do_not_count():
    # runs 0, 0, 5, 2, 0, 1, 8 of a 4 × 4 mask: foreground is positions 5 to 7
    counts = [reference.write_runs([0, 0, 5, 2, 0, 1, 8])]
    assert rle.area(counts, [4, 4]).numpy() == [3]
    assert rle.bbox(counts, [4, 4], convention='coco').numpy().tolist() == [[1, 1, 1, 3]]
    assert rle.centroid(counts, [4, 4]).numpy().tolist() == [[1, 2]]


def test_centroid_of_a_very_large_mask_is_exact():
    height, width = 40000, 50000
    counts = [reference.write_runs([0, height * width])]
    np.testing.assert_array_equal(
        rle.centroid(counts, [height, width]), np.float32([[24999.5, 19999.5]])
    )
    assert rle.area(counts, [height, width]).numpy() == [height * width]


CALLS = {
    'area': rle.area,
    'is_empty': rle.is_empty,
    'bbox': lambda c, s: rle.bbox(c, s, convention='sa1b'),
    'centroid': rle.centroid,
}
RESULTS = {
    'area': (tf.int32, [None]),
    'is_empty': (tf.bool, [None]),
    'bbox': (tf.int32, [None, 4]),
    'centroid': (tf.float32, [None, 2]),
}


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('num_masks', [6, 0])
def test_every_mode(name, num_masks):
    masks = rle_cases.blobs(num_masks, (30, 20))
    dtype, shape = RESULTS[name]
    harness.check(CALLS[name], rle_cases.as_tensors(masks), dtype=dtype, shape=shape)


@pytest.mark.parametrize('name', CALLS)
def test_no_masks_and_no_sizes(name):
    got = CALLS[name](tf.constant([], tf.string), tf.zeros([0, 2], tf.int64))
    assert got.shape[0] == 0


@pytest.mark.parametrize('name', CALLS)
def test_faults_name_the_function(name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf'rle\.{name}: expected .* got .*17'):
        CALLS[name]([reference.write_runs([0, 17])], [4, 4])


def test_convention_must_be_known():
    message = r"rle\.bbox: expected `convention` to be one of 'sa1b', .*; got 'yolo'"
    with pytest.raises(ValueError, match=message):
        rle.bbox(['52203'], [4, 4], convention='yolo')


@pytest.mark.parametrize(
    'module',
    [
        decoding,
        device,
        encoding,
        geometry,
        layers,
        measure,
        membership,
        pairs,
        rle,
        sample,
        sets,
        tree,
    ],
    ids=lambda m: m.__name__,
)
def test_examples_in_the_documentation(module):
    names = {'rle': rle, 'layers': layers, 'keras': keras, 'np': np}
    found = doctest.testmod(module, extraglobs=names)
    assert found.attempted and not found.failed
