"""The generator's steps without a model: settings, crops, points, upscaling, filters."""

import dataclasses
import json

import numpy as np
import pytest
from meta_reference import meta  # noqa: F401  (a fixture)
from pycocotools import mask as coco

from segment_anything_tfds.annotate import candidates, crop_grid, level_sets, settings

RNG = np.random.default_rng(11)
SIZES = [(1500, 2250), (2250, 1500), (60, 90), (1, 1), (1, 800), (37, 3), (333, 127)]

_CROPS = """
from segment_anything.utils import amg
import json
found = []
for size in json.loads(str(data['sizes'])):
    for layers, factor in ((0, 1), (1, 1), (2, 2), (3, 2)):
        boxes, numbers = amg.generate_crop_boxes(size, layers, 512 / 1500)
        grids = amg.build_all_layer_point_grids(32, layers, factor)
        for box, number in zip(boxes, numbers):
            scale = np.array([[box[2] - box[0], box[3] - box[1]]])
            points = grids[number] * scale
            found.append([size, layers, factor, number, box, points.sum(axis=0).tolist(),
                          points[:3].tolist(), len(points)])
out['found'] = np.array(json.dumps(found))
"""


def test_crops_and_points_are_meta_s(meta):  # noqa: F811
    found = json.loads(str(meta.run(_CROPS, sizes=np.array(json.dumps(SIZES)))['found']))
    theirs: dict = {}
    for size, layers, factor, *rest in found:
        theirs.setdefault((tuple(size), layers, factor), []).append(rest)
    assert len(theirs) == 4 * len(SIZES)
    for (size, layers, factor), crops in theirs.items():
        chosen = settings.get(crop_n_layers=layers, crop_n_points_downscale_factor=factor)
        grids = crop_grid.point_grids(chosen)
        # Meta's code makes crops without a pixel of images that are very small.
        crops = [crop for crop in crops if crop[1][0] < crop[1][2] and crop[1][1] < crop[1][3]]
        ours = crop_grid.crops(size, chosen)
        assert [crop[:2] for crop in crops] == [
            [c.layer, [c.left, c.top, c.right, c.bottom]] for c in ours
        ]
        for crop, (_, _, total, first, number) in zip(ours, crops, strict=True):
            points = crop_grid.points(crop, grids)
            assert len(points) == number
            assert points[:3].tolist() == first
            assert points.sum(axis=0).tolist() == total


def test_crops_are_those_of_a_real_record():
    """Of SA-1B's image 226381, 2000 x 1500, as tensorflow/datasets publishes its record."""
    crops = crop_grid.crops((1500, 2000), settings.get('sa1b'))
    corners = {layer: set() for layer in range(3)}
    for crop in crops:
        corners[crop.layer].add((crop.left, crop.top))
    assert corners == {
        0: {(0, 0)},
        1: {(left, top) for left in (0, 744) for top in (0, 494)},
        2: {(left, top) for left in (0, 436, 872, 1308) for top in (0, 311, 622, 933)},
    }
    assert [{crop.size for crop in crops if crop.layer == layer} for layer in range(3)] == [
        {(1500, 2000)},
        {(1006, 1256)},
        {(567, 692)},
    ]


# Where masks of the same record lie: the corner of `crop_box`, and `point_coords`.
REAL_POINTS = {
    (0, 0): [(475.75, 460.6875), (389.25, 248.0625), (216.25, 106.3125), (43.25, 35.4375)],
    (0, 311): [(216.25, 559.0625), (475.75, 629.9375), (216.25, 417.3125), (129.75, 771.6875)],
    (0, 622): [(302.75, 799.1875), (43.25, 870.0625), (648.75, 1011.8125), (475.75, 870.0625)],
    (0, 933): [(43.25, 1110.1875)],
    (436, 0): [(738.75, 318.9375), (738.75, 460.6875), (652.25, 460.6875)],
    (436, 311): [(911.75, 629.9375), (825.25, 488.1875)],
    (436, 622): [(565.75, 870.0625), (825.25, 1082.6875)],
    (436, 933): [(738.75, 1464.5625)],
    (872, 0): [(1520.75, 248.0625), (1174.75, 35.4375), (1001.75, 389.8125), (1347.75, 389.8125)],
    (872, 311): [(1434.25, 700.8125), (1174.75, 629.9375), (1001.75, 559.0625)],
    (1308, 0): [(1956.75, 35.4375)],
    (744, 0): [(1568.25, 723.0625), (1332.75, 94.3125), (1489.75, 157.1875), (1882.25, 157.1875)],
    (744, 494): [(1568.25, 839.8125), (861.75, 651.1875), (940.25, 776.9375), (1332.75, 651.1875)],
}


def test_points_are_those_of_a_real_record():
    """To the bit: each was a prompt of the crop that its record names."""
    chosen = settings.get('sa1b')
    grids = crop_grid.point_grids(chosen)
    prompts = {}
    for crop in crop_grid.crops((1500, 2000), chosen)[1:]:
        points = crop_grid.points(crop, grids) + np.array([crop.left, crop.top])
        prompts.setdefault((crop.left, crop.top), set()).update(map(tuple, points.tolist()))
    for corner, points in REAL_POINTS.items():
        assert set(points) <= prompts[corner]


def test_the_settings_of_sa1b_ask_for_3072_points():
    chosen = settings.get('sa1b')
    crops = crop_grid.crops((1500, 2250), chosen)
    grids = crop_grid.point_grids(chosen)
    assert sum(len(crop_grid.points(crop, grids)) for crop in crops) == 3072
    assert [len(grid) for grid in grids] == [1024, 256, 64]


# --- upscaling ---------------------------------------------------------------------------------

CASES = [  # side of the model, size of the crop
    (64, (90, 135)),
    (64, (40, 23)),  # the crop is smaller than what the model saw
    (64, (3, 500)),
    (64, (1, 1)),
    (64, (64, 64)),
    (1024, (700, 1111)),
]
THRESHOLDS = (1.0, 0.0, -1.0)

_UPSCALE = """
from segment_anything.utils import amg
from segment_anything.modeling.sam import Sam
import json, types
for index, (side, size, content) in enumerate(json.loads(str(data['cases']))):
    sam = types.SimpleNamespace(image_encoder=types.SimpleNamespace(img_size=side))
    low = torch.from_numpy(data[f'logits{index}'])[None]
    masks = Sam.postprocess_masks(sam, low, content, size)[0]
    out[f'scores{index}'] = amg.calculate_stability_score(masks, 0.0, 1.0).numpy()
    for threshold in (1.0, 0.0, -1.0):
        drawn = masks > threshold
        out[f'boxes{index}/{threshold}'] = amg.batched_mask_to_box(drawn).numpy()
        rles = [amg.coco_encode_rle(rle)['counts'] for rle in amg.mask_to_rle_pytorch(drawn)]
        out[f'rles{index}/{threshold}'] = np.array(rles)
"""


def _logits(side: int) -> np.ndarray:
    """Logits that are smooth, rough, constant, and of one pixel: float32 [6, side, side]."""
    rough = RNG.normal(size=(side, side))
    smooth = np.fft.ifft2(
        np.fft.fft2(RNG.normal(size=(side, side))) * _low_pass(side)
    ).real  # fmt: skip
    smooth = smooth / smooth.std()
    spot = np.full((side, side), -5.0)
    spot[side // 3, side // 3] = 4
    flat = [np.full((side, side), value) for value in (9.0, -9.0)]
    return np.stack([rough, 5 * smooth, 5 * smooth - 4, spot, *flat]).astype(np.float32)


def _low_pass(side: int) -> np.ndarray:
    frequency = np.fft.fftfreq(side)
    return np.exp(-(frequency[:, None] ** 2 + frequency**2) * 200)


def _grid(side: int, size: tuple[int, int]) -> level_sets.Grid:
    return level_sets.Grid((side // 4, side // 4), side, _content(side, size), size)


def _content(side: int, size: tuple[int, int]) -> tuple[int, int]:
    height, width = (max(1, int(length * side / max(size) + 0.5)) for length in size)
    return height, width


@pytest.fixture(scope='module')
def upscaled(meta):  # noqa: F811
    logits = {f'logits{n}': _logits(side // 4) for n, (side, _) in enumerate(CASES)}
    cases = [[side, size, _content(side, size)] for side, size in CASES]
    return {**logits, **meta.run(_UPSCALE, cases=np.array(json.dumps(cases)), **logits)}


@pytest.mark.parametrize('case', range(len(CASES)))
def test_runs_boxes_and_scores_are_those_of_full_size_masks(upscaled, case):
    side, size = CASES[case]
    grid = _grid(side, size)
    for n, logits in enumerate(upscaled[f'logits{case}']):
        mask = level_sets.Upscaled(grid, logits, min(THRESHOLDS))
        areas = {}
        for threshold in THRESHOLDS:
            runs = mask.runs(threshold)
            areas[threshold] = runs.area
            theirs = str(upscaled[f'rles{case}/{threshold}'][n]).encode()
            ours = candidates._encode([runs], size)[0]
            overlap = coco.iou(*([{'size': size, 'counts': c}] for c in (ours, theirs)), [0])
            empty = not coco.area({'size': size, 'counts': theirs})
            assert overlap[0, 0] >= 0.9995 or (empty and not runs.area)
            box = upscaled[f'boxes{case}/{threshold}'][n]
            assert np.abs(np.array(candidates.bounding_box(runs, size[0])) - box).max() <= 1
        if areas[-1.0]:
            assert abs(areas[1.0] / areas[-1.0] - upscaled[f'scores{case}'][n]) < 1e-3


def test_runs_are_apart_and_in_order():
    for side, size in CASES[:4]:
        for logits in _logits(side // 4):
            runs = level_sets.Upscaled(_grid(side, size), logits, -1.0).runs(0.0)
            bounds = np.stack([runs.starts, runs.ends], axis=1).ravel()
            assert (np.diff(bounds) > 0).all()
            assert bounds.size == 0 or (bounds[0] >= 0 and bounds[-1] <= size[0] * size[1])


# --- filters -----------------------------------------------------------------------------------

_EDGES = """
from segment_anything.utils import amg
found = [
    amg.is_box_near_crop_edge(torch.as_tensor(data['boxes']), box, data['image'].tolist()).numpy()
    for box in data['crops'].tolist()
]
out['found'] = np.stack(found)
"""


def test_masks_at_a_crop_s_edge(meta):  # noqa: F811
    height, width = 200, 300
    chosen = settings.get(crop_n_layers=2)
    crops = crop_grid.crops((height, width), chosen)
    corners = np.sort(RNG.integers(0, 100, (400, 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4)  # in pixels of the crop
    theirs = meta.run(
        _EDGES,
        boxes=boxes,
        image=np.array([0, 0, width, height]),
        crops=np.array([[c.left, c.top, c.right, c.bottom] for c in crops]),
    )['found']
    assert 0.1 < theirs[1:].mean() < 0.9
    for crop, expected in zip(crops, theirs, strict=True):
        place = candidates.Place(crop, 0, None, (height, width))
        origin = np.array([crop.left, crop.top] * 2)
        ours = [candidates._is_cut_off(box, place) for box in (boxes + origin).tolist()]
        assert ours == expected.tolist()


@pytest.mark.parametrize('corner', [(0, 0, 30, 20), (5, 7, 35, 20), (5, 0, 35, 20), (5, 7, 9, 9)])
def test_runs_of_a_crop_in_the_image(corner):
    """As if the mask were drawn into an empty image, for masks with whole columns too."""
    left, top, right, bottom = corner
    size, crop = (20, 40), crop_grid.Crop(1, *corner)
    place = candidates.Place(crop, 0, None, size)
    for density in (0.3, 0.9, 1.0):
        mask = RNG.random(crop.size) < density
        mask[:, ::3] = True
        flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(int)
        changes = np.flatnonzero(np.diff(flat))
        runs = level_sets.Runs(changes[0::2], changes[1::2])
        image = np.zeros(size, np.uint8)
        image[top:bottom, left:right] = mask
        found = candidates._encode([candidates._to_image(runs, place)], size)
        assert found == [coco.encode(np.asfortranarray(image))['counts']]


# --- settings ----------------------------------------------------------------------------------


def test_names_of_settings():
    assert settings.get() == settings.get('default')
    assert settings.get('default').points_per_side == 32
    sa1b = settings.get('sa1b', crop_n_layers=1)
    assert (sa1b.crop_n_layers, sa1b.min_mask_region_area, sa1b.drop_small_masks) == (1, 100, True)
    assert settings.get('proposals').pred_iou_thresh == 0


def test_the_default_is_meta_s(meta):  # noqa: F811
    code = """
import inspect, json
from segment_anything import SamAutomaticMaskGenerator
parameters = inspect.signature(SamAutomaticMaskGenerator.__init__).parameters.values()
out['found'] = np.array(json.dumps({p.name: p.default for p in parameters if p.name not in
                                    ('self', 'model')}))
"""
    theirs = json.loads(str(meta.run(code)['found']))
    ours = settings.get('default').to_json()
    assert theirs.pop('output_mode') == 'binary_mask'
    assert {name: ours[name] for name in theirs} == theirs


def test_settings_come_back_from_json():
    grids = [np.array([[0.5, 0.5], [0.1, 0.9]])]
    chosen = settings.get('sa1b', crop_n_layers=0, point_grids=grids)
    again = settings.Settings(**json.loads(json.dumps(chosen.to_json())))
    assert again == chosen and chosen != settings.get('sa1b')
    np.testing.assert_array_equal(again.point_grids[0], grids[0])


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'points_per_side': 0}, '`points_per_side` to be a whole number, 1 or more.*got 0'),
        ({'points_per_side': None}, 'expected one of `points_per_side` and `point_grids`; got nei'),
        ({'points_per_batch': 1.5}, '`points_per_batch` to be a whole number.*got 1.5'),
        ({'pred_iou_thresh': float('nan')}, '`pred_iou_thresh` to be a number, 0 or more; got nan'),
        ({'stability_score_thresh': 2}, '`stability_score_thresh` to be a number from 0 to 1'),
        ({'crop_n_layers': True}, '`crop_n_layers` to be a whole number from 0 to 5; got True'),
        ({'crop_n_layers': 3, 'crop_n_points_downscale_factor': 4}, 'a point in every layer; got'),
        ({'output_mode': 'polygon'}, '`output_mode` to be one of .*got .polygon'),
        ({'point_grids': [[[2.0, 0.5]]]}, '`point_grids` in 0 to 1'),
        ({'point_grids': [[0.5, 0.5]]}, '`point_grids` of 1 arrays.*got shapes'),
        ({'points_per_sides': 3}, 'expected `changes` to be fields of Settings.*got points_per_si'),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        settings.get('default', **changes)


def test_unknown_settings():
    with pytest.raises(ValueError, match=r"`name` to be one of \['default', .*got 'sam'"):
        settings.get('sam')
    assert dataclasses.is_dataclass(settings.Settings)
