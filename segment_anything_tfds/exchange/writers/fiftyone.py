"""FiftyOne's `COCODetectionDataset`: `data/` and `labels.json`.

    fiftyone.Dataset.from_dir(
        dataset_dir=out,
        dataset_type=fiftyone.types.COCODetectionDataset,
        label_types='segmentations',
    )

`confidence` is `predicted_iou`, and absent where no model has scored a mask; `sa_id`,
`stability_score` and the prompts are attributes.
"""

from __future__ import annotations

from segment_anything_tfds.exchange import carried
from segment_anything_tfds.exchange.writers import coco


class Writer(coco.Writer):
    """COCO instances in the places where FiftyOne looks for them, each with a score."""

    images, instances = 'data', 'labels.json'

    def to_coco(self, annotation: dict, **fields) -> dict:
        row = super().to_coco(annotation, **fields)
        if carried.is_scored(annotation):
            row['score'] = annotation['predicted_iou']
        return row
