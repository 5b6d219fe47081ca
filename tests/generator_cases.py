"""Scenes and settings on which our generator and Meta's are compared, and how records match."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import numpy as np
from pycocotools import mask as coco

REPO = pathlib.Path(__file__).resolve().parent.parent
FIRST_SEED = 7_770_000  # far from those that anything is trained on
NEAR = 1e-3  # of a threshold: the two may then judge differently

# Height and width; odd ones, portraits, and one that is larger than the model's input.
SIZES = [
    (300, 450),
    (450, 300),
    (301, 447),
    (288, 384),
    (256, 256),
    (200, 640),
    (400, 600),
    (333, 222),
    (299, 500),
    (480, 640),
    (320, 320),
    (600, 401),
]
BASE = {'points_per_side': 16}
SETTINGS: dict[str, dict] = {
    'default': {},
    'layer 1': {'crop_n_layers': 1, 'points_per_side': 8},
    'layers 1 and 2': {
        'crop_n_layers': 2,
        'crop_n_points_downscale_factor': 2,
        'points_per_side': 12,
    },
    'any predicted IoU': {'pred_iou_thresh': 0.0, 'points_per_batch': 50},
    'any stability': {'stability_score_thresh': 0.0, 'stability_score_offset': 2.0},
    'strict NMS': {'box_nms_thresh': 0.5},
    'lax NMS, clean': {'box_nms_thresh': 0.9, 'min_mask_region_area': 100},
    'clean crops': {
        'min_mask_region_area': 100,
        'crop_n_layers': 1,
        'crop_n_points_downscale_factor': 2,
        'crop_overlap_ratio': 0.25,
        'crop_nms_thresh': 0.5,
    },
}
# A cheap one, for every run of the tests.
FEW = {'few clean crops': {**SETTINGS['clean crops'], 'points_per_side': 8}}


def scene(number: int) -> np.ndarray:
    """A painted scene that no model has seen, uint8 [H, W, 3]."""
    return painted(number).render()


def painted(number: int):
    """The scene with its masks; see `dummy_data/scenes.py`."""
    folder = str(REPO / 'dummy_data')
    sys.path.insert(0, folder)
    try:
        import canvas
        import scenes
    finally:
        sys.path.remove(folder)
    light = list(canvas.LIGHTS)[number % len(canvas.LIGHTS)]
    return scenes.landscape(FIRST_SEED + number, *SIZES[number % len(SIZES)], light)


# Crops that several settings share are encoded once: a predictor that has seen one takes its state.
META = """
import json
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

class Remembering(SamPredictor):
    seen = {}
    def set_image(self, image, image_format='RGB'):
        key = image.shape, image.tobytes()
        if key not in self.seen:
            super().set_image(image, image_format)
            self.seen[key] = dict(vars(self))
        vars(self).update(self.seen[key])

sam = side.sam_of(torch.load(str(data['weights'])))
found = {}
for number, name in sorted(json.loads(str(data['cases']))):
    settings = json.loads(str(data['settings']))[name]
    generator = SamAutomaticMaskGenerator(sam, output_mode='coco_rle', **settings)
    generator.predictor = Remembering(sam)
    found[f'{number}/{name}'] = generator.generate(data[f'scene{number}'])
out['found'] = np.array(json.dumps(found))
"""


def run_meta(meta, weights: pathlib.Path, cases, thresholds: dict, timeout=3600) -> dict:
    """Meta's records of cases (number of a scene, name of settings), by case."""
    names = {name for _, name in cases}
    scenes = {f'scene{number}': scene(number) for number in {number for number, _ in cases}}
    found = meta.run(
        META,
        timeout=timeout,
        weights=np.array(str(weights)),
        cases=np.array(json.dumps(list(cases))),
        settings=np.array(json.dumps({name: changes(name, thresholds) for name in names})),
        **scenes,
    )['found']
    records = json.loads(str(found))
    return {case: records[f'{case[0]}/{case[1]}'] for case in cases}


def changes(name: str, thresholds: dict) -> dict:
    """The settings of a name: those of Meta's generator with these changes."""
    return {**BASE, **thresholds, **{**SETTINGS, **FEW}[name]}


@dataclasses.dataclass
class Match:
    """How the records of two generators go together.

    Attributes:
      pairs: (theirs, ours) of the same crop, point and mask.
      alone: records of either that are in no pair.
    """

    pairs: list[tuple[dict, dict]]
    alone: list[dict]


def match(theirs: list[dict], ours: list[dict]) -> Match:
    """Pairs records one to one: equal crop box and point, and masks with an IoU of 0.999."""
    left = list(ours)
    found = Match([], [])
    for record in theirs:
        same = [other for other in left if _key(other) == _key(record)]
        overlaps = [mask_iou(record, other) for other in same]
        if not overlaps or max(overlaps) < 0.999:
            found.alone.append(record)
            continue
        partner = same[int(np.argmax(overlaps))]
        left = [other for other in left if other is not partner]
        found.pairs.append((record, partner))
    found.alone += left
    return found


def _key(record: dict) -> list:
    return [*map(float, record['crop_box']), *record['point_coords'][0]]


def mask_iou(a: dict, b: dict) -> float:
    """IoU of two records' masks; 1 for two empty ones."""
    if not a['area'] and not b['area']:
        return 1.0
    return float(coco.iou([a['segmentation']], [b['segmentation']], [0])[0, 0])


def is_near_a_threshold(record: dict, others: list[dict], settings: dict) -> bool:
    """Whether a hair's breadth decides about a record.

    Its score lies at a threshold; or its box overlaps another's by about the threshold of NMS, or
    lies about 20 pixels from an edge of its crop; or two masks of its point have nearly the same
    predicted IoU, so that either may win.
    """
    if abs(record['predicted_iou'] - settings.get('pred_iou_thresh', 0.88)) < NEAR:
        return True
    if abs(record['stability_score'] - settings.get('stability_score_thresh', 0.95)) < NEAR:
        return True
    thresholds = [settings.get(f'{kind}_nms_thresh', 0.7) for kind in ('box', 'crop')]
    for other in others:
        if other is record:
            continue
        overlap = _box_iou(record['bbox'], other['bbox'])
        if any(abs(overlap - threshold) < 5 * NEAR for threshold in thresholds):
            return True
        close = abs(record['predicted_iou'] - other['predicted_iou']) < 1e-4
        if close and overlap > min(thresholds):
            return True
    return False


def _box_iou(a: list, b: list) -> float:
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    common = max(0, right - left) * max(0, bottom - top)
    total = a[2] * a[3] + b[2] * b[3] - common
    return common / total if total else 0.0
