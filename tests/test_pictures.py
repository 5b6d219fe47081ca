"""Picture files of every kind on their way into an archive; Pillow is the reference."""

import io

import numpy as np
import pytest
from PIL import Image

from segment_anything_tfds.annotate.archives import picture_file
from segment_anything_tfds.source import reasons
from segment_anything_tfds.source.record import jpeg

NO_LIMITS = picture_file.Limits(short_side=None)
TURNED = 6  # the EXIF orientation of a camera held upright: turn by 90 degrees clockwise
ORIENTATION = 0x0112


def _image(height=40, width=60, mode='RGB'):
    """Colours that change slowly, and differently along each side."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    pixels = np.stack([255 * x, 255 * y, 255 * (1 - x)], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _file(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _close(pixels, image):
    """Whether pixels are those of an image, but for what a JPEG of quality 95 changes."""
    difference = np.abs(pixels.astype(int) - np.asarray(image.convert('RGB')).astype(int))
    return pixels.shape[:2] == image.size[::-1] and difference.mean() < 6


@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_a_fit_jpeg_stays_as_it_is(mode):
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    data = _file(_image(mode=mode), 'JPEG', exif=exif)
    found = picture_file.load(data, NO_LIMITS)
    assert found.jpeg == data and found.is_original
    np.testing.assert_array_equal(found.pixels, Image.open(io.BytesIO(data)).convert('RGB'))


FORMATS = {
    'png': lambda: (_file(_image(), 'PNG'), _image()),
    'palette': lambda: (_file(_image().quantize(64), 'PNG'), _image().quantize(64)),
    'one bit': lambda: (_file(_image(mode='1'), 'PNG'), _image(mode='1')),
    'grey': lambda: (_file(_image(mode='L'), 'PNG'), _image(mode='L')),
    'webp': lambda: (_file(_image(), 'WEBP', lossless=True), _image()),
    'tiff': lambda: (_file(_image(), 'TIFF'), _image()),
    'bmp': lambda: (_file(_image(), 'BMP'), _image()),
    'gif': lambda: (_file(_image(), 'GIF'), Image.open(io.BytesIO(_file(_image(), 'GIF')))),
    'cmyk': lambda: (_file(_image(mode='CMYK'), 'JPEG', quality=100), _image()),
}


@pytest.mark.parametrize('name', FORMATS)
def test_other_pictures_become_jpegs_of_their_pixels(name):
    data, image = FORMATS[name]()
    found = picture_file.load(data, NO_LIMITS)
    assert not found.is_original and _close(found.pixels, image)
    assert jpeg.decode(found.jpeg).channels == 3
    np.testing.assert_array_equal(found.pixels, Image.open(io.BytesIO(found.jpeg)))
    assert found.original_size == (40, 60)


def test_sixteen_bits_are_scaled_not_cut():
    ramp = np.linspace(0, 65535, 60, dtype=np.uint16)[None].repeat(40, 0)
    found = picture_file.load(_file(Image.fromarray(ramp), 'PNG'), NO_LIMITS)
    expected = np.rint(np.linspace(0, 255, 60))
    assert np.abs(found.pixels[20, :, 0] - expected).max() <= 3


def test_what_is_transparent_is_white():
    image = _image(mode='RGBA')
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 30, axis=1).repeat(40, 0)))
    found = picture_file.load(_file(image, 'PNG'), NO_LIMITS)
    assert found.pixels[:, :26].min() >= 250
    assert np.abs(found.pixels[:, 34:].astype(int) - np.asarray(_image())[:, 34:]).mean() < 3


def test_exif_rotation_is_applied_and_gone():
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    found = picture_file.load(_file(_image(40, 60), 'JPEG', exif=exif, quality=95), NO_LIMITS)
    assert _close(found.pixels, _image(40, 60).transpose(Image.Transpose.ROTATE_270))
    assert found.original_size == (40, 60)
    assert ORIENTATION not in Image.open(io.BytesIO(found.jpeg)).getexif()


def test_a_phone_s_second_picture_is_no_animation():
    data = _file(_image(), 'MPO', save_all=True, append_images=[_image(20, 30)])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    found = picture_file.load(data, NO_LIMITS)
    assert _close(found.pixels, _image())


@pytest.mark.parametrize(
    'limits, size, expected',
    [
        (picture_file.Limits(30), (40, 60), (30, 45)),
        (picture_file.Limits(30), (60, 40), (45, 30)),
        (picture_file.Limits(40), (40, 60), (40, 60)),
        (picture_file.Limits(500), (40, 60), (40, 60)),  # never larger
        (picture_file.Limits(None, 30), (40, 60), (20, 30)),
        (picture_file.Limits(30, 36), (40, 60), (24, 36)),
        (picture_file.Limits(30), (1, 800), (1, 800)),
        (picture_file.Limits(None, 8), (1, 800), (1, 8)),
    ],
)
def test_limits(limits, size, expected):
    found = picture_file.load(_file(_image(*size), 'JPEG'), limits)
    assert found.pixels.shape[:2] == expected
    assert found.is_original == (size == expected)


def _truncated(format):
    data = _file(_image(300, 400), format)
    return data[: len(data) // 2]


BAD = {
    'animation': (
        lambda: _file(_image(), 'GIF', save_all=True, append_images=[_image(mode='L')]),
        'picture_animated',
        'expected one picture; got GIF with 2 frames',
    ),
    'pages': (
        lambda: _file(_image(), 'TIFF', save_all=True, append_images=[_image(mode='L')]),
        'picture_animated',
        'got TIFF with 2 frames or pages',
    ),
    'floats': (
        lambda: _file(Image.fromarray(np.ones((4, 4), np.float32)), 'TIFF'),
        'picture_depth',
        'expected 8 or 16 bits a channel; got floating-point pixels',
    ),
    '32 bits': (
        lambda: _file(Image.fromarray(np.full((4, 4), 70_000, np.int32)), 'TIFF'),
        'picture_depth',
        'got values from 70000 to 70000',
    ),
    'text': (lambda: b'<html>', 'picture_unknown', 'expected a picture that Pillow reads; got 6'),
    'nothing': (lambda: b'', 'picture_unknown', 'got 0 bytes'),
    'half a JPEG': (lambda: _truncated('JPEG'), 'picture_damaged', 'that decodes; got OSError'),
    'half a PNG': (lambda: _truncated('PNG'), 'picture_damaged', 'expected a picture that decodes'),
    'too long for a JPEG': (
        lambda: _file(Image.new('L', (65_501, 1)), 'PNG'),
        'picture_too_large',
        'got 65501 x 1, where a JPEG ends at 65500',
    ),
    'a bomb': (
        lambda: _file(Image.new('1', (20_000, 20_000)), 'PNG'),
        'picture_too_large',
        'got more than 178,956,970 pixels',
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_refused_by_name(name):
    make, reason, text = BAD[name]
    with pytest.raises(picture_file.PictureError, match=text) as caught:
        picture_file.load(make(), NO_LIMITS)
    assert caught.value.reason == reason
    assert reasons.REASONS[reason].level == 'picture'


def test_wrong_limits():
    for value in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f'`short_side` to be a whole number.*got {value}'):
            picture_file.Limits(short_side=value)
