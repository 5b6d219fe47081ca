"""The data that comes with the package: valid, small, and what its script writes."""

import io
import json
import pathlib
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from segment_anything_tfds.source.record import annotations, coco_rle
from segment_anything_tfds.source.remote import links_file

FOLDER = pathlib.Path(__file__).resolve().parent.parent / 'dummy_data'
NUMBERS = range(3)


@pytest.fixture(scope='module')
def make():
    sys.path.insert(0, str(FOLDER))
    try:
        import make
    finally:
        sys.path.remove(str(FOLDER))
    return make


def read(path):
    """Files by base name, and names of all members in their order."""
    with tarfile.open(path) as tar:
        files = {m.name.split('/')[-1]: tar.extractfile(m).read() for m in tar if m.isfile()}
        return files, tar.getnames()


def examples(number):
    files, _ = read(FOLDER / f'sa_{number:06d}.tar')
    for name in sorted(files):
        if name.endswith('.jpg'):
            record = f'{name[:-4]}.json'
            example, faults = annotations.check(
                files[name],
                files[record],
                archive=f'sa_{number:06d}',
                image_name=name,
                record_name=record,
                decode_images=True,
            )
            assert faults == []
            yield example


def test_every_record_is_valid_and_every_id_occurs_once():
    everything = [example for number in NUMBERS for example in examples(number)]
    assert len(everything) == 15
    image_ids = [example.image['image_id'] for example in everything]
    ids = np.concatenate([example.annotations['id'] for example in everything])
    assert len(set(image_ids)) == 15 and len(set(ids.tolist())) == len(ids) > 300


def test_masks_of_every_kind():
    seen = set()
    for example in (example for number in NUMBERS for example in examples(number)):
        columns, size = example.annotations, (example.image['height'], example.image['width'])
        if not len(columns['id']):
            seen.add('no annotations')
            continue
        masks = coco_rle.decode(columns['counts'], size).astype(bool)
        runs = coco_rle.run_lengths(columns['counts'])
        area = columns['area']
        kinds = {
            'one pixel': (area == 1).any(),
            'full frame': (area == size[0] * size[1]).any(),
            'hundreds of runs': max(map(len, runs)) > 300,
            'hole': any(_has_hole(mask) for mask in masks),
            'small crop box': (columns['crop_box'] != [0, 0, 1, 1]).any(),
            'wide': size[1] > size[0],
            'high': size[1] < size[0],
        }
        edges = {'top': masks[:, 0], 'bottom': masks[:, -1]}
        edges.update(left=masks[:, :, 0], right=masks[:, :, -1])
        kinds.update(
            {name: (edge.any(axis=1) & (area < 9000)).any() for name, edge in edges.items()}
        )
        seen |= {kind for kind, found in kinds.items() if found}
        _check_boxes_and_points(masks, columns, size)
    assert seen >= {'no annotations', 'one pixel', 'full frame', 'hundreds of runs', 'hole'}
    assert seen >= {'small crop box', 'wide', 'high', 'bottom', 'left', 'right'}


def _has_hole(mask):
    """Whether background lies between foreground in every one of the four directions."""
    inside = ~mask
    for axis in (0, 1):
        before = np.logical_or.accumulate(mask, axis)
        after = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis), axis)
        inside &= before & after
    return inside.any()


def _check_boxes_and_points(masks, columns, size):
    """Boxes are max - min of the mask, lie in their crop, and the point lies in the mask."""
    for n, mask in enumerate(masks):
        rows, xs = np.nonzero(mask)
        box = [rows.min() / size[0], xs.min() / size[1], rows.max() / size[0], xs.max() / size[1]]
        np.testing.assert_array_equal(columns['bbox'][n], np.float32(box))
        crop = columns['crop_box'][n]
        assert (crop[:2] <= box[:2]).all() and (crop[2:] >= box[2:]).all()
        x, y = columns['point_coords'][n, 0].astype(int)
        assert mask[y, x]


def test_archives_have_the_shape_of_the_real_ones():
    names = [read(FOLDER / f'sa_{number:06d}.tar')[1] for number in NUMBERS]
    heads = [(FOLDER / f'sa_{number:06d}.tar').read_bytes()[:2] for number in NUMBERS]
    assert [head == b'\x1f\x8b' for head in heads] == [False, True, False]
    assert names[0][0] == names[1][0] == '.' and names[2][0] == 'sa_000002'
    assert all(name.startswith('./sa_') for name in names[0][1:])
    assert all(name.startswith('sa_000002/sa_') for name in names[2][1:])
    for members in names:
        assert len(members) == 11 and members[1:] != sorted(members[1:])


def test_links_are_in_the_real_format():
    text = (FOLDER / links_file.FILE_NAME).read_text()
    assert text.startswith('file_name\tcdn_link\n') and not text.endswith('\n')
    found = links_file.read(FOLDER)
    assert list(found.archives) == [0, 1, 2]
    assert [name for _, name in found.ignored] == ['sa_images_ids.txt', 'sa_co_gold.tar']
    assert found.expires.year == 2023
    assert all('.example.invalid/' in link.url for link in found.archives.values())


def test_folder_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 2_000_000


def test_script_writes_what_is_committed(make, tmp_path):
    """Records to the byte; pictures nearly, since another JPEG library may round differently."""
    assert make.make_links() == (FOLDER / links_file.FILE_NAME).read_text()
    path = make.make_archive(tmp_path, 1)
    again = make.make_archive(tmp_path / '..' / tmp_path.name, 1)
    assert path.read_bytes() == again.read_bytes()
    ours, names = read(path)
    committed, committed_names = read(FOLDER / path.name)
    assert names == committed_names
    for name, data in committed.items():
        if name.endswith('.json'):
            assert json.loads(ours[name]) == json.loads(data)
        else:
            pictures = [
                np.asarray(Image.open(io.BytesIO(file)), int) for file in (ours[name], data)
            ]
            assert np.abs(pictures[0] - pictures[1]).mean() < 1


def test_another_seed_gives_other_pictures(make):
    first, record = make.make_pair(2001, 0, 0, seed=1)
    second, other = make.make_pair(2001, 0, 0, seed=2)
    assert first != second and record != other
