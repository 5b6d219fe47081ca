"""Random access for PyTorch and Grain: rows against the recipe's, workers, splits."""

import json
import pickle

import building
import numpy as np
import pytest
import samples
from pycocotools import mask as coco_mask

from segment_anything_tfds import training
from segment_anything_tfds.arrays import random_access, rows

SIDE = 64


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    """Archives 0 to 2 with 4 images each, as array_record."""
    folder = tmp_path_factory.mktemp('arrays')
    samples.write_archives(folder / 'archives', 3)
    building.build(folder / 'archives', folder / 'data', '0-2', file_format='array_record')
    return folder / 'data'


def test_rows_are_those_of_a_plain_recipe(data_dir, tmp_path):
    """Images, boxes and masks of `training.Recipe`, in the order of the annotations."""
    recipe = training.recipes.get(
        'sam',
        image_size=SIDE,
        mask_size=SIDE,
        num_masks=3,
        box_jitter=0.0,
        box_probability=1.0,
        point_probability=0.0,
        reduced_decode=False,
    )
    built = building.build(data_dir.parent / 'archives', tmp_path, '0-2')
    tensors = list(built.as_dataset(split='train', decoders=recipe.decoders))
    for index in (0, 7):
        example = random_access.Examples(data_dir)[index]
        row = rows.Rows(SIDE, SIDE, None)(example, np.random.default_rng(0))
        inputs, masks, valid = recipe(tensors[index], [1, 2])
        assert row['image_id'] == inputs['image_id']
        order = [
            next(n for n in range(3) if np.allclose(box, row['boxes_xyxy'][n], atol=1e-3))
            for box in inputs['boxes_xyxy'].numpy()
        ]
        assert sorted(order) == [0, 1, 2]
        np.testing.assert_array_equal(row['content_size'], inputs['content_size'])
        height, width = row['content_size']
        difference = np.int32(row['image']) - np.int32(inputs['image'])
        difference = difference[:height, :width]
        assert np.abs(difference).max() <= 1 and not row['image'][height:].any()
        np.testing.assert_array_equal(row['valid'][order], valid)
        assert (row['masks'][order] == masks.numpy()).mean() > 0.999
        counts = example['annotations']['segmentation']['counts']
        scale = SIDE / samples.WIDTH
        for n, (x, y) in enumerate((row['point_coords'][:, 0] + 0.5) / scale - 0.5):
            segmentation = {'size': [samples.HEIGHT, samples.WIDTH], 'counts': counts[n]}
            assert coco_mask.decode(segmentation)[round(y), round(x)]
            assert row['point_labels'][n] == 1


def test_missing_masks_are_padding(data_dir):
    example = random_access.Examples(data_dir)[0]
    row = rows.Rows(SIDE, num_masks=5)(example, np.random.default_rng(0))
    assert row['masks'].shape == (5, 16, 16) and row['point_labels'][:, 0].tolist()[3:] == [-1, -1]
    assert not row['masks'][3:].any() and not row['valid'][3:].any()
    fewer = rows.Rows(SIDE, num_masks=2, resize='square')(example, np.random.default_rng(0))
    assert fewer['masks'].shape == (2, 16, 16) and fewer['content_size'].tolist() == [SIDE, SIDE]
    none = {**example, 'annotations': {'segmentation': {'counts': []}}}
    assert rows.Rows(SIDE, num_masks=2)(none, np.random.default_rng(0))['valid'].tolist() == [0, 0]


def test_archives_are_chosen_and_held_out(data_dir):
    def archives(**options):
        examples = random_access.Examples(data_dir, **options)
        return {int(example['image']['image_id']) // 1000 for example in examples}

    assert archives() == {0, 1, 2}
    assert archives(archives='1-2') == {1, 2}
    assert archives(hold_out='1') == {0, 2}
    assert archives(hold_out='1', split='validation') == {1}
    assert archives(archives=[0, 1], hold_out=[1], split='all') == {0, 1}
    with pytest.raises(ValueError, match=r'SA1B: expected archives 7 in .*; got 0-2'):
        random_access.Examples(data_dir, archives='7')
    with pytest.raises(IndexError, match='below 12; got 12'):
        random_access.Examples(data_dir)[12]
    again = pickle.loads(pickle.dumps(random_access.Examples(data_dir, hold_out='1')))
    assert len(again) == 8 and again[-1]['image']['image_id'] == again[7]['image']['image_id']


def test_other_data_are_refused(data_dir, tmp_path):
    with pytest.raises(FileNotFoundError):
        random_access.Examples(tmp_path / 'absent')
    with pytest.raises(ValueError, match='expected a prepared data set in `data_dir`; got'):
        random_access.Examples(data_dir.parent / 'archives')
    building.build(data_dir.parent / 'archives', tmp_path, '0')
    with pytest.raises(ValueError, match='data prepared as array_record; got tfrecord'):
        random_access.Examples(tmp_path)
    with pytest.raises(ValueError, match=r'`resize` one of .*; got .round.'):
        rows.Rows(resize='round')


def test_torch_draws_the_same_with_any_number_of_workers(data_dir):
    """In a process of its own: array_record was used in this one, which no fork survives."""
    pytest.importorskip('torch')
    code = """
import json, sys
import torch
from segment_anything_tfds.torch import SA1B, collate
data = SA1B(sys.argv[1], image_size=64, num_masks=2)
def epochs(workers):
    loader = torch.utils.data.DataLoader(
        data, 5, shuffle=True, num_workers=workers, collate_fn=collate,
        generator=torch.Generator().manual_seed(3), multiprocessing_context='fork')
    return [torch.cat([batch['point_coords'] for batch in loader]).tolist() for _ in range(2)]
drawn = [epochs(1), epochs(2)]
assert len(data) == 12 and data[0]['image'].shape == (3, 64, 64)
def drawn_again(index):
    torch.manual_seed(7)
    return data[index]['point_coords'].tolist()
assert drawn_again(-1) == drawn_again(11)
try:
    epochs(1)
except RuntimeError as error:
    print(json.dumps([*drawn, str(error)]))
"""
    one, two, error = json.loads(building.run_python(code, data_dir).stdout)
    assert one == two and one[0] != one[1]
    assert 'expected a process whose parent read no example before it was forked' in error
    assert np.shape(one) == (2, 12, 2, 1, 2)


def test_collate_pads_masks(data_dir):
    torch = pytest.importorskip('torch')
    from segment_anything_tfds.torch import SA1B, collate

    data = SA1B(data_dir, image_size=SIDE, num_masks=None)
    whole, part = data[0], data[1]
    names = ('masks', 'point_coords', 'point_labels', 'boxes_xyxy', 'valid')
    part = {name: value[:1] if name in names else value for name, value in part.items()}
    batch = collate([whole, part])
    assert batch['masks'].shape == (2, 3, 16, 16) and batch['image'].shape == (2, 3, SIDE, SIDE)
    assert batch['valid'].tolist() == [whole['valid'].tolist(), [*part['valid'].tolist(), 0, 0]]
    assert batch['point_labels'][1, :, 0].tolist() == [1, -1, -1]
    assert torch.equal(batch['masks'][0], whole['masks'])
    taken = SA1B(data_dir, transform=lambda example, rng: len(example['image']['content']))
    assert taken[0] > 1000


def test_grain_takes_source_and_rows(data_dir):
    grain = pytest.importorskip('grain')
    from segment_anything_tfds.grain import SA1B, Rows

    source = grain.MapDataset.source(SA1B(data_dir)).seed(1).shuffle()
    batches = list(source.random_map(Rows(SIDE, num_masks=2)).batch(4))
    assert [batch['image'].shape for batch in batches] == [(4, SIDE, SIDE, 3)] * 3
    assert len({int(n) for batch in batches for n in batch['image_id']}) == 12
