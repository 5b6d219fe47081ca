"""`sa1b predict` and `sa1b.predict`: an image, clicks and boxes in, masks out."""

import json

import numpy as np
import pytest
import small_models
from PIL import Image, ImageFile
from pycocotools import mask as coco_mask

import segment_anything_tfds as sa1b
from segment_anything_tfds import training
from segment_anything_tfds.actions.learning import predict_masks
from segment_anything_tfds.cli import main as cli

pytest.importorskip('keras_hub')

HEIGHT, WIDTH = 60, 90


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """With an image and a model."""
    made = tmp_path_factory.mktemp('predict')
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(made / 'photo.png')
    training.PromptableSegmenter(small_models.as_new(64)).save(made / 'sam.keras')
    return made


def _run(folder, *args):
    return cli.main(['predict', str(folder / 'photo.png'), *map(str, args)])


def _decoded(record):
    return [coco_mask.decode(row['segmentation']) for row in record['annotations']]


def test_clicks_are_one_prompt_and_boxes_are_many(folder, capsys):
    model, png = folder / 'sam.keras', folder / 'new' / 'out.png'
    clicks = ['--points', '40,30', '--points=50.5,20', '--background', '5,5']
    assert _run(folder, '--model', model, *clicks, '--png', png, '--json') == 0
    record = json.loads(capsys.readouterr().out)
    assert record['image'] == {
        'image_id': 0,
        'width': WIDTH,
        'height': HEIGHT,
        'file_name': 'photo.png',
    }
    predictor = training.Predictor(training.load_model(model))
    predictor.set_image(np.asarray(Image.open(folder / 'photo.png')))
    points, labels = [[40, 30], [50.5, 20], [5, 5]], [1, 1, 0]
    masks, scores, _ = predictor.predict(points, labels, multimask_output=False)
    assert [row['predicted_iou'] for row in record['annotations']] == pytest.approx(scores)
    np.testing.assert_array_equal(_decoded(record), masks)
    drawn = np.asarray(Image.open(png).convert('RGB'))
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert (drawn != np.asarray(Image.open(folder / 'photo.png'))).any()

    boxes = [[10, 10, 40, 40], [50, 5, 80, 50]]
    options = [f'--boxes={",".join(map(str, box))}' for box in boxes]
    assert _run(folder, '--model', model, *options, '--json') == 0
    record = json.loads(capsys.readouterr().out)
    masks, _, _ = predictor.predict(box=np.array(boxes), multimask_output=False)
    np.testing.assert_array_equal(_decoded(record), [mask for mask in masks[:, 0] if mask.any()])


def test_a_single_click_takes_the_most_confident_of_three(folder):
    found = sa1b.predict(folder / 'photo.png', model=folder / 'sam.keras', points=[(40, 30)])
    predictor = training.Predictor(training.load_model(folder / 'sam.keras'))
    predictor.set_image(np.asarray(Image.open(folder / 'photo.png')))
    masks, scores, _ = predictor.predict([[40, 30]], [1])
    np.testing.assert_array_equal(found.masks[0], masks[scores.argmax()])
    assert np.asarray(found.picture).shape == (HEIGHT, WIDTH, 3)


def test_pictures_of_pillow_and_other_orders_of_channels(folder):
    expected = sa1b.predict(
        folder / 'photo.png', model=folder / 'sam.keras', boxes=[(9, 9, 50, 50)]
    )
    with Image.open(folder / 'photo.png') as image:
        found = sa1b.predict(image, model=folder / 'sam.keras', boxes=[(9, 9, 50, 50)])
        pixels = np.asarray(image)
    np.testing.assert_array_equal(found.masks, expected.masks)
    predictor = training.Predictor(training.load_model(folder / 'sam.keras'))
    logits = []
    for given in ({'image': pixels}, {'image': pixels[..., ::-1], 'image_format': 'BGR'}):
        predictor.set_image(**given)
        logits.append(predictor.predict(box=np.array([9, 9, 50, 50]))[2])
    np.testing.assert_array_equal(*logits)
    with pytest.raises(ValueError, match="`image_format` 'RGB' or 'BGR'; got 'GBR'"):
        predictor.set_image(pixels, image_format='GBR')


def test_nothing_is_drawn_that_nobody_looks_at(folder, monkeypatch):
    monkeypatch.setattr(predict_masks, '_draw', lambda *_: pytest.fail('drawn'))
    found = sa1b.predict(folder / 'photo.png', model=folder / 'sam.keras', points=[(40, 30)])
    assert found.record['annotations'] and 'picture' not in repr(found)


def test_a_table_without_json(folder, capsys):
    assert _run(folder, '--model', folder / 'sam.keras', '--boxes', '10,10,40,40') == 0
    assert 'predicted_iou' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('args', 'code', 'says'),
    [
        ([], 2, 'expected --points x,y or --boxes x0,y0,x1,y1; got no prompt'),
        (['--points', '40'], 2, "expected x,y; got '40'"),
        (['--points', '90.5,3'], 2, '--points: expected pixels of the image, 90 x 60; got 90.5,3'),
        (['--boxes', '9,9,9,30'], 2, '--boxes: expected x0,y0,x1,y1 with x0 < x1'),
        (
            ['--boxes', '1,1,9,9', '--boxes', '1,1,8,8', '--points', '3,3'],
            2,
            'one box beside clicks',
        ),
        (['--points', '3,3', '--model', 'absent.keras'], 2, 'a file that exists; got absent.keras'),
    ],
)
def test_what_is_wrong_is_said(folder, capsys, args, code, says):
    assert _run(folder, *args) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ('prompts', 'says'),
    [
        ({'points': (3, 3)}, '--points: expected x,y for each; got 3'),
        ({'points': [(3, 3, 1)]}, r'--points: expected x,y for each; got \(3, 3, 1\)'),
        ({'boxes': [[1, 2, 3]]}, r'--boxes: expected x0,y0,x1,y1 for each; got \[1, 2, 3\]'),
    ],
)
def test_prompts_of_another_form_are_named(prompts, says):
    with pytest.raises(ValueError, match=says):
        sa1b.predict(np.zeros((8, 8, 3), np.uint8), **prompts)


def test_files_that_are_no_pictures_are_named(folder, capsys):
    (folder / 'text.png').write_text('no picture')
    assert cli.main(['predict', str(folder / 'text.png'), '--points', '3,3']) == 1
    assert 'expected `image` to be a picture file; got' in capsys.readouterr().err
    assert cli.main(['predict', str(folder / 'absent.png'), '--points', '3,3']) == 2


def test_pictures_of_other_kinds_are_read_as_annotation_reads_them(folder, monkeypatch):
    """16 bits are scaled down, not cut off; CMYK, transparent and turned ones become RGB."""
    levels = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(levels).save(folder / 'deep.png')
    read = predict_masks._read(folder / 'deep.png')
    assert read.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(read[..., 0], np.round(levels / 257).astype(np.uint8))
    pixels = Image.open(folder / 'photo.png')
    pixels.convert('CMYK').save(folder / 'cmyk.tif')
    assert np.abs(predict_masks._read(folder / 'cmyk.tif') - np.float32(pixels)).max() <= 1
    exif = pixels.getexif()
    exif[0x0112] = 6
    pixels.save(folder / 'turned.png', exif=exif)
    turned = predict_masks._read(folder / 'turned.png')
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(pixels), -1))
    content = (folder / 'photo.png').read_bytes()
    (folder / 'cut.png').write_bytes(content[: len(content) // 2])
    Image.fromarray(levels.astype(np.float32)).save(folder / 'floats.tif')
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)  # as TFDS does
    for name in ('cut.png', 'floats.tif'):
        with pytest.raises(ValueError, match=rf'`image` to be a picture file; got .*{name}'):
            sa1b.predict(folder / name, model=folder / 'sam.keras', points=[(40, 30)])


def test_files_that_are_no_models_are_named(folder, capsys):
    (folder / 'text.keras').write_text('no model')
    assert _run(folder, '--points', '3,3', '--model', folder / 'text.keras') == 1
    assert 'expected `model` to be a file of Keras; got' in capsys.readouterr().err
