"""Reads exports with the libraries of the tools themselves, in a process and an environment of
their own: `python tool_readers.py FORMAT FOLDER...` prints a JSON line a mask.

Nothing of the package is imported here: what these libraries see is what their users get.
"""

import contextlib
import hashlib
import io
import json
import logging
import pathlib
import shutil
import sys

import numpy as np


def read_cvat(folder):
    """With datumaro's reader of CVAT for images."""
    import datumaro

    for item in datumaro.Dataset.import_from(str(folder), 'cvat'):
        for mask in item.annotations:
            yield item.id, int(mask.attributes['sa_id']), mask.image


def read_coco(folder):
    """With datumaro's reader of COCO instances, which wants folders of its own."""
    import datumaro

    place = folder.parent / f'{folder.name}_datumaro'
    (place / 'annotations').mkdir(parents=True)
    shutil.copyfile(folder / 'instances.json', place / 'annotations' / 'instances_train.json')
    (place / 'images').mkdir()
    (place / 'images' / 'train').symlink_to(folder / 'images')
    rows = json.loads((folder / 'instances.json').read_bytes())['annotations']
    ids = {row['id']: row['sa_id'] for row in rows}
    for item in datumaro.Dataset.import_from(str(place), 'coco_instances'):
        for mask in item.annotations:
            if mask.type == datumaro.AnnotationType.mask:  # it makes boxes of them too
                yield item.id, ids[mask.id], mask.image


def read_labelstudio(folder):
    """With label_studio_sdk's reader of brushes."""
    from label_studio_sdk.converter import brush

    for task in json.loads((folder / 'tasks.json').read_bytes()):
        stem = task['data']['image'].rpartition('/')[2].partition('.')[0]
        for region in task['predictions'][0]['result']:
            size = region['original_height'], region['original_width'], 4
            image = brush.decode_rle(region['value']['rle']).reshape(size)
            if not (image == image[..., :1]).all() or set(np.unique(image)) - {0, 255}:
                raise ValueError('expected 0 or 255 in all four channels')
            yield stem, region['meta']['sa_id'], image[..., 3] > 0


def read_labelme(folder):
    """With LabelMe's own loader."""
    from labelme import _label_file as label_file

    for path in sorted(folder.glob('*.json')):
        content = label_file.read_label_file(str(path))
        declared = json.loads(path.read_bytes())
        for shape in content.shapes:
            (left, top), (right, bottom) = shape['points']
            mask = np.zeros((declared['imageHeight'], declared['imageWidth']), bool)
            mask[top : bottom + 1, left : right + 1] = shape['mask']
            yield path.stem, json.loads(shape['description'])['sa_id'], mask


def read_fiftyone(folder):
    """With FiftyOne's importer, which needs no database as long as nothing is added to one."""
    from fiftyone.utils import coco

    importer = coco.COCODetectionDatasetImporter(
        dataset_dir=str(folder), label_types='segmentations'
    )
    with importer:
        for path, metadata, label in importer:
            for found in label.detections if label else ():
                mask = np.zeros((metadata.height, metadata.width), bool)
                x, y, w, h = (
                    round(side * length)
                    for side, length in zip(
                        found.bounding_box, (metadata.width, metadata.height) * 2, strict=True
                    )
                )
                mask[y : y + h, x : x + w] = found.mask
                if found.confidence is None:
                    raise ValueError('expected a score')
                yield pathlib.Path(path).stem, found['sa_id'], mask


def main(name, folders):
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()):  # where tools greet
        lines = [
            {
                'folder': str(folder),
                'image': image,
                'id': identity,
                'shape': list(np.shape(mask)),
                'pixels': hashlib.sha256(np.asarray(mask, np.uint8).tobytes()).hexdigest(),
            }
            for folder in folders
            for image, identity, mask in globals()[f'read_{name}'](folder)
        ]
    for line in lines:
        print(json.dumps(line))


if __name__ == '__main__':
    main(sys.argv[1], [pathlib.Path(folder) for folder in sys.argv[2:]])
