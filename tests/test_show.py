"""Pictures and tables of the dataset: our `show_examples`, and TFDS's `as_dataframe`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from segment_anything_tfds.report import show
from segment_anything_tfds.source.record import coco_rle


def test_masks_are_drawn_over_every_image(prepared_dummy):
    dataset = prepared_dummy.as_dataset(split='train').take(4)
    sheet = show.show_examples(dataset, side=200, points=True)
    plain = show.show_examples(dataset, side=200, max_masks=0)
    assert sheet.shape == plain.shape and sheet.dtype == np.uint8
    half = sheet.shape[1] // 2
    for columns in (slice(0, half), slice(half, None)):
        assert (sheet[:, columns] != plain[:, columns]).any(-1).mean() > 0.1


def test_colour_lies_where_the_mask_is(prepared_dummy):
    (example,) = tfds.as_numpy(prepared_dummy.as_dataset(split='train').take(1))
    alone = show.show_examples([example], count=1, side=300, max_masks=1)
    plain = show.show_examples([example], count=1, side=300, max_masks=0)
    size = int(example['image']['height']), int(example['image']['width'])
    largest = int(np.argmax(example['annotations']['area']))
    counts = [example['annotations']['segmentation']['counts'][largest]]
    height, width = (round(edge * 300 / max(size)) for edge in size)
    mask = coco_rle.decode_resized(counts, size, (height, width))[0] > 0
    changed = (alone != plain).any(-1)
    rows, columns = np.nonzero(changed)
    top, left = rows.min(), columns.min()
    mask_rows, mask_columns = np.nonzero(mask)
    assert abs((rows.max() - top) - (mask_rows.max() - mask_rows.min())) <= 6
    assert abs((columns.max() - left) - (mask_columns.max() - mask_columns.min())) <= 6
    assert changed.sum() > 0.9 * mask.sum()


def test_tensors_arrays_and_jpegs_give_the_same_picture(prepared_dummy):
    dataset = prepared_dummy.as_dataset(split='train').take(2)
    decoders = {'image': {'content': tfds.decode.SkipDecoding()}}
    jpegs = prepared_dummy.as_dataset(split='train', decoders=decoders).take(2)
    sheet = show.show_examples(dataset, side=100)
    for examples in (list(dataset), tfds.as_numpy(dataset), list(tfds.as_numpy(dataset))):
        np.testing.assert_array_equal(show.show_examples(examples, side=100), sheet)
    for examples in (jpegs, list(jpegs), tfds.as_numpy(jpegs)):
        difference = np.abs(show.show_examples(examples, side=100) / 1.0 - sheet)
        assert difference.max() <= 8  # two decoders of JPEG


def test_what_is_no_example_is_an_error(prepared_dummy):
    with pytest.raises(ValueError, match=r'show_examples: expected `examples` .*got none'):
        show.show_examples([])
    with pytest.raises(ValueError, match=r'expected `examples` of .* got EagerTensor\.'):
        show.show_examples(tf.data.Dataset.range(3))
    with pytest.raises(ValueError, match=r"expected `examples` of .* got dict\['image'\]"):
        show.show_examples([{'image': 1}])
    dataset = prepared_dummy.as_dataset(split='train').take(2)
    with pytest.raises(ValueError, match=r'of shape \[H, W, 3\]; got \(1, \d+, \d+, 3\)'):
        show.show_examples(dataset.batch(1))


def test_as_dataframe_works(prepared_dummy):
    frame = tfds.as_dataframe(prepared_dummy.as_dataset(split='train').take(3), prepared_dummy.info)
    assert len(frame) == 3
    assert {'image/image_id', 'annotations/area', 'annotations/segmentation/counts'} <= set(frame)
    html = frame._repr_html_()
    assert '<img src="data:image' in html
