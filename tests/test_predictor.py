"""`training.Predictor`: many prompts at once as Meta's, records, and what it refuses."""

import json

import numpy as np
import parity_cases as cases
import pytest
import samples
import small_models
from meta_reference import meta  # noqa: F401  (a fixture)
from pycocotools import mask as coco_mask

from segment_anything_tfds import training
from segment_anything_tfds.source.record import annotations

pytest.importorskip('keras_hub')

RNG = np.random.default_rng(3)
HEIGHT, WIDTH = 70, 100
IMAGE = RNG.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
POINTS = RNG.uniform(0, 70, (5, 2, 2))
LABELS = RNG.integers(0, 2, (5, 2))
BOXES = np.concatenate([RNG.uniform(0, 30, (5, 2)), RNG.uniform(40, 69, (5, 2))], 1)

_MANY = """
sam = side.random_sam(64)
out.update({f'small/{name}': value for name, value in side.pack(sam).items()})
predictor = side.predictor(sam, data['image'])
to = lambda x: torch.as_tensor(x, dtype=torch.float32)
points = predictor.transform.apply_coords_torch(to(data['points']), (70, 100))
boxes = predictor.transform.apply_boxes_torch(to(data['boxes']), (70, 100))
labels = torch.as_tensor(data['labels'])
calls = {'points': (points, labels, None), 'boxes': (None, None, boxes),
         'both': (points, labels, boxes)}
for name, (coords, marks, box) in calls.items():
    for multimask in (False, True):
        found = predictor.predict_torch(coords, marks, box, None, multimask)
        for what, value in zip(('masks', 'scores', 'low'), found):
            out[f'{name}/{multimask}/{what}'] = value.numpy()
"""


@pytest.fixture(scope='module')
def predictor():
    made = training.Predictor(training.small_sam(64, hidden_size=16, num_layers=1))
    made.set_image(IMAGE)
    return made


def test_many_prompts_at_once_are_those_of_meta(meta):  # noqa: F811
    expected = meta.run(_MANY, image=IMAGE, points=POINTS, labels=LABELS, boxes=BOXES)
    predictor = training.Predictor(cases.make_model(expected, 'small'))
    predictor.set_image(IMAGE)
    prompts = {
        'points': {'point_coords': POINTS, 'point_labels': LABELS},
        'boxes': {'box': BOXES},
        'both': {'point_coords': POINTS, 'point_labels': LABELS, 'box': BOXES},
    }
    for name, given in prompts.items():
        for multimask in (False, True):
            masks, scores, low = predictor.predict(**given, multimask_output=multimask)
            truth = {w: expected[f'{name}/{multimask}/{w}'] for w in ('masks', 'scores', 'low')}
            assert masks.shape == truth['masks'].shape == (5, 3 if multimask else 1, HEIGHT, WIDTH)
            np.testing.assert_allclose(scores, truth['scores'], atol=1e-4)
            assert np.abs(low - truth['low']).max() < 1e-4 * truth['low'].std()
            assert (masks == truth['masks']).mean() > 0.9999


def test_a_second_click_takes_the_graph_of_the_first(predictor, monkeypatch):
    masks, scores, low = predictor.predict(POINTS[0, :1], LABELS[0, :1])
    assert masks.shape == (3, HEIGHT, WIDTH) and masks.dtype == bool
    best = int(scores.argmax())

    def never(*_, **__):
        raise AssertionError('the model was traced again')

    monkeypatch.setattr(predictor.model, 'decode', never)
    monkeypatch.setattr(predictor.model, 'encode', never)
    predictor.predict(POINTS[0], LABELS[0], mask_input=low[best][None], multimask_output=False)
    predictor.predict(box=BOXES[0])
    predictor.set_image(IMAGE[:40])
    predictor.predict(box=BOXES[0] / 2)
    predictor.set_image(IMAGE)


def test_logits_are_those_of_the_masks(predictor):
    masks, _, _ = predictor.predict(box=BOXES[0])
    logits, _, _ = predictor.predict(box=BOXES[0], return_logits=True)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits > 0, masks)


def test_a_record_obeys_the_rules_of_the_data_set(predictor):
    record = predictor.predict_records(POINTS, np.ones_like(LABELS), image_id=7)
    masks, scores, _ = predictor.predict(POINTS, np.ones_like(LABELS))
    masks = masks[np.arange(5), scores.argmax(1)]
    kept = [n for n in range(5) if masks[n].any()]
    assert len(record['annotations']) == len(kept) > 0
    for annotation, n in zip(record['annotations'], kept, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(annotation['segmentation']), masks[n])
        assert annotation['predicted_iou'] == pytest.approx(scores[n].max())
        assert annotation['point_coords'] == [POINTS[n, 0].tolist()]
        assert 0 <= annotation['stability_score'] <= 1
    jpeg = samples.jpeg(7, HEIGHT, WIDTH)
    example, faults = annotations.check(
        jpeg,
        json.dumps(record).encode(),
        archive='own',
        image_name='sa_7.jpg',
        record_name='sa_7.json',
    )
    assert not faults and len(example.annotations['area']) == len(kept)


def test_coco_results_are_what_pycocotools_takes(predictor):
    found = predictor.predict_records(box=BOXES, style='coco', image_id=7)
    masks, scores, _ = predictor.predict(box=BOXES)
    masks = masks[np.arange(5), scores.argmax(1)]
    kept = [mask for mask in masks if mask.any()]
    assert len(found) == len(kept) > 0
    for entry, mask in zip(found, kept, strict=True):
        assert entry['image_id'] == 7 and entry['area'] == mask.sum()
        np.testing.assert_array_equal(coco_mask.decode(entry['segmentation']), mask)
        rows, columns = np.nonzero(mask)
        x, y = columns.min(), rows.min()
        assert entry['bbox'] == [x, y, columns.max() - x + 1, rows.max() - y + 1]


def test_a_box_gets_a_point_inside_of_its_mask(predictor):
    for annotation in predictor.predict_records(box=BOXES)['annotations']:
        x, y = map(int, annotation['point_coords'][0])
        assert coco_mask.decode(annotation['segmentation'])[y, x]


@pytest.mark.parametrize(
    ('given', 'says'),
    [
        ({'point_coords': [[1, 2]]}, 'expected `point_coords` and `point_labels` together'),
        ({'box': [1, 2, 3]}, r'expected `box` \[4\] or \[N, 4\]; got \[3\]'),
        ({'mask_input': np.zeros((64, 64))}, r'expected `mask_input` \[1, 16, 16\] or'),
        (
            {'point_coords': np.zeros((3, 2)), 'point_labels': [1]},
            r'expected `point_labels` \[3\], one a point; got \[1\]',
        ),
        (
            {'point_coords': np.zeros((3, 1, 2)), 'point_labels': np.ones((3, 1)), 'box': BOXES},
            r"as many points, boxes and masks, 1 or more; got \{'point_coords': 3, 'box': 5\}",
        ),
        ({'box': np.zeros((0, 4))}, r"1 or more; got \{'box': 0\}"),
        ({'box': [0, 0, np.inf, 4]}, '`box` of finite numbers; got inf'),
        (
            {'point_coords': [[np.nan, 2]], 'point_labels': [1]},
            '`point_coords` of finite numbers; got nan',
        ),
        ({'mask_input': np.full((1, 16, 16), np.nan)}, '`mask_input` of finite numbers; got nan'),
        (
            {'point_coords': [[1, 2], [3, 4]], 'point_labels': [1, 2]},
            '`point_labels` of 1, 0 or -1; got 2',
        ),
    ],
)
def test_what_does_not_fit_is_refused(predictor, given, says):
    with pytest.raises(ValueError, match=says):
        predictor.predict(**given)


@pytest.mark.parametrize(
    'part, value, what',
    [('iou_prediction_head', 'nan', 'scores'), ('output_upscaling', 'inf', 'logits')],
)
def test_a_model_that_gives_no_numbers(part, value, what):
    broken = training.PromptableSegmenter(small_models.as_new(64))
    variable = getattr(broken.mask_decoder, part).weights[-1]
    variable.assign(np.full(variable.shape, float(value)))
    predictor = training.Predictor(broken)
    predictor.set_image(IMAGE)
    for ask in (predictor.predict, predictor.predict_records):
        with pytest.raises(ValueError, match=f'the model to give finite {what}; got -?(nan|inf)'):
            ask(box=BOXES)


def test_images_and_styles_are_checked(predictor):
    with pytest.raises(ValueError, match=r'expected `style` one of .*; got .yolo.'):
        predictor.predict_records(box=BOXES, style='yolo')
    with pytest.raises(ValueError, match=r'expected `image` uint8 \[H, W, 3\]; got float64 \[2'):
        predictor.set_image(np.zeros([2, 2, 3]))
    empty = training.Predictor(predictor.model)
    with pytest.raises(ValueError, match='expected an image; got none'):
        empty.predict(box=BOXES[0])
