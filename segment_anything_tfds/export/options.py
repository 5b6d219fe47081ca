"""The formats that there are, and how an export is laid out."""

from __future__ import annotations

import dataclasses

NAMES = {
    'archives': 'archives in the format of SA-1B: sa_000000.tar in gzip, flat',
    'coco': 'COCO instances: images/ and instances.json, with boxes in the convention of COCO',
    'folders': 'images/ and annotations/, a file each',
    'tsv': 'TSV for Semantic-SAM: name, annotations, image in base64, and .lineidx',
    'webdataset': 'WebDataset tars: the two halves of a pair side by side',
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How to lay out an export.

    Attributes:
      per_file: images in each file, where a format has several.
      first_number: number of the first file, where they are numbered.
    """

    per_file: int = 10_000
    first_number: int = 0
