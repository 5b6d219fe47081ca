"""Images and masks of one's own become archives that everything else reads."""

import base64
import io
import json

import numpy as np
import pytest
import tool_cases
from PIL import Image, ImageFile
from pycocotools import mask as coco_mask

import segment_anything_tfds as sa1b
from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange.readers import drawn, shapes
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.archive import inputs, verification
from segment_anything_tfds.source.checksums import Checksums

SIZE = (24, 31)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(3)]


def _decoded(out):
    return [
        [coco_mask.decode(row['segmentation']) for row in record.rows]
        for record in sorted(sa1b.records(out), key=lambda r: r.json['image']['image_id'])
    ]


def _assert_equal(found, expected):
    assert [len(masks) for masks in found] == [len(masks) for masks in expected]
    for masks, others in zip(found, expected, strict=True):
        for mask, other in zip(masks, others, strict=True):
            np.testing.assert_array_equal(mask, np.asarray(other, np.uint8))


def test_five_lines(pictures, tmp_path):
    """Files of images, PNGs of masks."""
    folder = tmp_path / 'mine'
    folder.mkdir()
    masks = tool_cases.odd_masks(*SIZE)[:3]
    for n, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        Image.fromarray(picture).save(folder / f'photo {n}.jpg')
        Image.fromarray(mask * 255).save(folder / f'photo {n}.png')

    from segment_anything_tfds import records

    images = sorted(folder.glob('*.jpg'))
    records.write(images, (path.with_suffix('.png') for path in images), tmp_path / 'out')

    _assert_equal(_decoded(tmp_path / 'out'), [[mask] for mask in masks])
    lines = (tmp_path / 'out' / 'images.csv').read_text().splitlines()
    assert len(lines) == 4 and 'photo 0.jpg' in lines[1]
    assert not (tmp_path / 'out' / 'labels.csv').exists()
    (unit,) = inputs.find([tmp_path / 'out'])
    assert verification.verify(unit, known=Checksums(), expected_pairs=3).state == 'good'
    for record, path in zip(sa1b.records(tmp_path / 'out'), images, strict=True):
        assert record.jpeg == path.read_bytes(), 'a JPEG stays as it is'


def test_all_kinds_of_masks(pictures, tmp_path):
    odd = tool_cases.odd_masks(*SIZE)
    values = np.zeros(SIZE, np.int32)
    values[2:9, 3:7], values[10:20, 10:30] = 70_000, 3
    Image.fromarray((values % 251).astype(np.uint8)).save(tmp_path / 'values.png')
    rle = [coco_mask.encode(np.asfortranarray(mask)) for mask in odd]
    plain = {'size': list(SIZE), 'counts': [0, 5, SIZE[0] * SIZE[1] - 5]}
    first = coco_mask.decode(coco_mask.frPyObjects(plain, *SIZE))
    masks = [odd, odd > 0, odd * 7.0, values, tmp_path / 'values.png', values > 0, rle, []]
    masks += [[odd[0], rle[1], plain, odd[2].tolist()]]
    expected = [odd, odd, odd, [values == 3, values == 70_000]]
    expected += [[values == 3, values == 70_000][:: 1 if 3 < 70_000 % 251 else -1]]
    expected += [[values > 0], odd, [], [odd[0], odd[1], first, odd[2]]]
    images = [pictures[0]] * len(masks)
    assert sa1b.records.write(images, iter(masks), tmp_path / 'out') == len(masks)
    _assert_equal(_decoded(tmp_path / 'out'), expected)
    ids = [row['id'] for record in sa1b.records(tmp_path / 'out') for row in record.rows]
    assert sorted(ids) == list(range(1, 1 + sum(map(len, expected))))


def test_images_of_all_kinds(pictures, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(pictures[1]).save(buffer, 'PNG')
    Image.fromarray(pictures[2]).convert('RGBA').save(tmp_path / 'sa_77.png')
    images = [pictures[0], pictures[0][..., 0], buffer.getvalue(), tmp_path / 'sa_77.png']
    sa1b.records.write(images, [[]] * 4, tmp_path / 'out', license='CC BY 4.0', source='me')
    found = {
        r.stem: np.asarray(Image.open(io.BytesIO(r.jpeg))) for r in sa1b.records(tmp_path / 'out')
    }
    assert found.keys() == {'sa_1', 'sa_2', 'sa_3', 'sa_77'}
    for stem, picture in zip(
        ('sa_1', 'sa_3', 'sa_77'), (pictures[0], pictures[1], pictures[2]), strict=True
    ):
        difference = np.abs(found[stem].astype(int) - picture)
        assert difference.mean() < 5, 'noise at quality 95'
    assert ',CC BY 4.0,,me' in (tmp_path / 'out' / 'images.csv').read_text()


def test_labels_go_where_exports_find_them(pictures, tmp_path):
    masks = tool_cases.odd_masks(*SIZE)[:2]
    labels = [['dog', 'a "cat"'], ['dog', '']]
    sa1b.records.write(pictures[:2], [masks, masks], tmp_path / 'out', labels=labels)
    rows = (tmp_path / 'out' / 'labels.csv').read_text().splitlines()
    assert rows[1:] == ['1,dog,,0', '2,"a ""cat""",,0', '3,dog,,0'], 'only masks with a label'


BAD = {
    'fewer masks': (lambda p: (p, [[]] * 2), 'expected as many'),
    'more masks': (lambda p: (p, [[]] * 4), 'expected as many'),
    'none': (lambda p: ([], []), 'at least one record'),
    'size': (lambda p: (p[:1], [np.ones((1, 5, 5))]), r'masks of \(height, width\)'),
    'image': (lambda p: ([p[0].astype(float)], [[]]), 'expected an image uint8'),
    'no file': (lambda p: (['absent.jpg'], [[]]), 'expected an image file'),
    'no image': (lambda p: ([b'nothing'], [[]]), 'image 0'),
    'no picture': (lambda p: (p[:1], ['absent.png']), 'picture of masks'),
    'rle': (lambda p: (p[:1], [[{'size': list(SIZE), 'counts': '!'}]]), 'characters'),
    'labels': (lambda p: (p[:1], [[]], [['dog']]), 'expected 0 labels'),
}


@pytest.mark.parametrize('case', BAD)
def test_what_is_refused(case, pictures, tmp_path):
    make, text = BAD[case]
    images, masks, labels = [*make(pictures), None][:3]
    with pytest.raises(ValueError, match=text):
        sa1b.records.write(images, masks, tmp_path / 'out', labels=labels)
    assert not list(tmp_path.iterdir()), 'nothing is half-written'


def test_half_a_picture_is_refused_though_tfds_has_pillow_pass_over_damage(
    pictures, tmp_path, monkeypatch
):
    buffer = io.BytesIO()
    Image.fromarray(pictures[0][..., 0]).save(buffer, 'PNG')
    half = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    path = tmp_path / 'half.png'
    path.write_bytes(half)
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)  # as TFDS does
    for image, mask, text in ((half, [], 'expected an image'), (pictures[0], path, 'of masks')):
        with pytest.raises(ValueError, match=text):
            sa1b.records.write([image], [mask], tmp_path / 'out')
    with pytest.raises(drawn.Refused, match='expected a PNG'):
        shapes.read_png(base64.b64encode(half).decode())


def test_what_is_refused_may_be_left_out(pictures, tmp_path):
    found = []
    masks = [[], np.ones((1, 5, 5)), []]
    out = tmp_path / 'out'
    written = sa1b.records.write(pictures, masks, out, on_error='skip', on_fault=found.append)
    assert written == 2 and [type(fault) for fault in found] == [faults.Fault]
    assert found[0].member == 'image 1' and found[0].reason == 'import_size_mismatch'


def _coco(folder, pictures):
    """COCO's and LVIS's styles: parts, RLE of both kinds, a crowd, empty ones."""
    height, width = SIZE
    (folder / 'val2017').mkdir(parents=True)
    for n, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / 'val2017' / f'{n:012d}.jpg')
    runs = [3, 20, height * width - 23]
    odd = tool_cases.odd_masks(*SIZE)
    packed = coco_mask.encode(np.asfortranarray(odd[1]))
    segmentations = [
        [[2, 2, 10.5, 2, 10.5, 9.25, 2, 9.25], [15, 3, 20, 3, 20, 8]],  # two parts
        [[1, 1, 25, 1, 25, 20, 1, 20]],
        {'size': list(SIZE), 'counts': runs},  # a crowd, uncompressed
        {**packed, 'counts': packed['counts'].decode()},
        [],
        {'size': list(SIZE), 'counts': [height * width]},
    ]
    annotations = [
        {
            'id': 900 - n,
            'image_id': 40 + n % 2,
            'category_id': 1 + 16 * (n % 2),
            'iscrowd': int(n == 2),
            'segmentation': segmentation,
        }
        for n, segmentation in enumerate(segmentations)
    ]
    images = [
        {'id': 40, 'height': height, 'width': width, 'file_name': f'{0:012d}.jpg', 'license': 4},
        # as LVIS has it
        {'id': 41, 'height': height, 'width': width}
        | {'coco_url': f'http://images.cocodataset.org/val2017/{1:012d}.jpg'}
        | {'neg_category_ids': [3], 'not_exhaustive_category_ids': []},
        {'id': 42, 'height': height, 'width': width, 'file_name': f'{2:012d}.jpg'},
    ]
    content = {
        'info': {'year': 2017, 'a': [1, [2]]},
        'licenses': [{'id': 4, 'name': 'Attribution License', 'url': 'http://example.org/by'}],
        'annotations': annotations,
        'images': images,
        'categories': [{'id': 1, 'name': 'person'}, {'id': 17, 'name': 'cat'}],
    }
    (folder / 'annotations').mkdir()
    path = folder / 'annotations' / 'instances_val2017.json'
    path.write_text(json.dumps(content))
    expected = {}
    for row in annotations:
        rle = row['segmentation']
        if isinstance(rle, list) and rle:
            rle = coco_mask.merge(coco_mask.frPyObjects(rle, height, width))
        elif isinstance(rle, dict) and isinstance(rle['counts'], list):
            rle = coco_mask.frPyObjects(rle, height, width)
        elif not rle:
            rle = coco_mask.encode(np.zeros(SIZE, np.uint8, 'F'))
        expected[row['id']] = (coco_mask.area(rle), coco_mask.toBbox(rle).tolist())
    return path, expected


def test_coco_there_and_back(pictures, tmp_path):
    """COCO -> SA-1B -> COCO: areas and boxes are pycocotools' of the polygons and the RLE."""
    from pycocotools import coco as coco_lib

    path, expected = _coco(tmp_path / 'coco', pictures)
    out = tmp_path / 'sa1b'
    assert main.main(['import', str(path), '--format', 'coco', '--out', str(out)]) == 0
    found = {record.stem: record for record in sa1b.records(out)}
    assert [len(found[f'sa_{n}'].rows) for n in (40, 41, 42)] == [3, 3, 0]
    assert {row['id'] for record in found.values() for row in record.rows} == expected.keys()
    (unit,) = inputs.find([out])
    assert verification.verify(unit, known=Checksums(), expected_pairs=3).state == 'good'

    images = (out / 'images.csv').read_text().splitlines()
    assert images[1] == f'40,{0:012d}.jpg,40,Attribution License,http://example.org/by,'
    assert images[2].startswith(f'41,val2017/{1:012d}.jpg,41,,,http://images.cocodataset.org')
    labels = dict(line.split(',')[:2] for line in (out / 'labels.csv').read_text().splitlines())
    assert labels['900'] == 'person' and labels['899'] == 'cat'
    assert '898,person,898,1' in (out / 'labels.csv').read_text(), 'the crowd is marked'

    again = tmp_path / 'again'
    args = ['export', str(out), '--format', 'coco', '--labels', str(out / 'labels.csv')]
    assert main.main([*args, '--out', str(again)]) == 0
    coco = coco_lib.COCO(str(again / 'instances.json'))
    names = {row['id']: row['name'] for row in coco.loadCats(coco.getCatIds())}
    assert len(coco.anns) == len(expected)
    for row in coco.anns.values():
        area, box = expected[row['sa_id']]
        assert row['area'] == area == coco_mask.area(coco.annToRLE(row))
        assert row['bbox'] == box == coco_mask.toBbox(coco.annToRLE(row)).tolist()
        assert names[row['category_id']] == ('cat' if row['sa_id'] % 2 else 'person')
        assert row['iscrowd'] == (row['sa_id'] == 898)


@pytest.mark.slow
def test_a_model_trains_on_coco_by_the_same_recipe(pictures, tmp_path):
    """COCO -> SA-1B -> the builder -> a recipe -> `fit`: the loss on these masks falls."""
    import building
    import keras

    from segment_anything_tfds import training

    path, _ = _coco(tmp_path / 'coco', pictures)
    out = tmp_path / 'sa1b'
    sa1b.import_data(path, format='coco', out=out)
    built = building.build(out, tmp_path / 'data')
    recipe = training.recipes.get('sam', image_size=64, mask_size=16, num_masks=2)
    examples = built.as_dataset(split='train', decoders=recipe.decoders)
    with_masks = examples.filter(lambda example: len(example['annotations']['area']) > 0)
    assert len(list(examples)) == 3 and len(list(with_masks)) == 2
    keras.utils.set_random_seed(0)
    model = training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))
    model.compile(
        keras.optimizers.AdamW(3e-3), loss=training.SegmentAnythingLoss(), jit_compile=False
    )
    batches = recipe.batches(with_masks.repeat(), 2, seed=0)
    losses = model.fit(batches, epochs=4, steps_per_epoch=15, verbose=0).history['loss']
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
