"""Names the formats of exports and imports, and the options of an export."""

from __future__ import annotations

import dataclasses

NAMES = {
    'archives': 'archives in the format of SA-1B: sa_000000.tar in gzip, flat',
    'coco': 'COCO instances: images/ and instances.json, with boxes in the convention of COCO',
    'cvat': 'CVAT for images 1.1: annotations.xml with masks, images/, and the labels to paste',
    'fiftyone': 'COCODetectionDataset of FiftyOne: data/ and labels.json, with scores',
    'folders': 'images/ and annotations/, a file each',
    'labelme': 'LabelMe: an image and a JSON with mask shapes, side by side',
    'labelstudio': 'Label Studio: tasks.json with brush predictions, images/, labeling_config.xml',
    'parquet': 'Parquet for Hugging Face datasets: images embedded, masks as RLE',
    'tsv': 'TSV for Semantic-SAM: name, annotations, image in base64, and .lineidx',
    'webdataset': 'WebDataset tars: the two halves of a pair side by side',
    'yolo': 'YOLO segmentation, which is lossy: polygons, without holes, parts joined',
}
READABLE = {
    'coco': 'COCO instances or LVIS: polygons, RLE, crowds',
    'cvat': 'CVAT for images 1.1: annotations.xml',
    'labelme': 'LabelMe: a JSON file an image',
    'labelstudio': 'Label Studio: an export in its format JSON',
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How to lay out an export.

    Attributes:
      per_file: images in each file, where a format has several.
      first_number: number of the first file, where they are numbered.
      image_url: what tasks for Label Studio put before the name of an image.
    """

    per_file: int = 10_000
    first_number: int = 0
    image_url: str = '/data/local-files/?d=images/'
