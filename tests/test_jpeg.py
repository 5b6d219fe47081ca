"""Checks of JPEG files without decoding them."""

import io
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from segment_anything_tfds.source.record import jpeg

H, W = 24, 40


def encode(mode='RGB', **options):
    rng = np.random.default_rng(0)
    channels = {'L': (), 'RGB': (3,), 'CMYK': (4,)}[mode]
    out = io.BytesIO()
    pixels = rng.integers(0, 256, (H, W, *channels), dtype=np.uint8)
    Image.fromarray(pixels, mode).save(out, 'JPEG', **options)
    return out.getvalue()


JPEG = encode()
FRAME = JPEG.index(b'\xff\xc0')
SCAN = JPEG.index(b'\xff\xda')


def patched(position, data):
    return JPEG[:position] + data + JPEG[position + len(data) :]


def without(marker):
    start = JPEG.index(b'\xff' + bytes([marker]))
    return JPEG[:start] + JPEG[start + 2 + int.from_bytes(JPEG[start + 2 : start + 4], 'big') :]


THUMBNAIL = b'\xff\xe1' + (len(JPEG) + 2).to_bytes(2, 'big') + JPEG


@pytest.mark.parametrize(
    ('data', 'channels'),
    [
        (JPEG, 3),
        (encode(progressive=True), 3),
        (encode(optimize=True, subsampling=0), 3),
        (encode(restart_marker_blocks=1), 3),
        (encode('L'), 1),
        (encode('CMYK'), 4),
        (JPEG + bytes(512), 3),
        (JPEG + b'made by a camera', 3),
        (JPEG[:2] + b'\xff' * 99 + JPEG[2:], 3),
        (JPEG[:2] + THUMBNAIL + JPEG[2:], 3),
        (patched(FRAME, b'\xff\xc1'), 3),
    ],
)
def test_whole_jpegs(data, channels):
    assert jpeg.check(data) == jpeg.Header(H, W, channels)


def test_tensorflow_decodes_all_channels_to_rgb():
    import tensorflow as tf

    for mode in ('L', 'RGB', 'CMYK'):
        assert tf.io.decode_image(encode(mode), channels=3).shape == (H, W, 3)


@pytest.mark.parametrize(
    ('data', 'reason', 'match'),
    [
        (b'', 'jpeg_invalid', r'expected a JPEG; got 0 bytes'),
        (b'\x89PNG\r\n\x1a\n', 'jpeg_invalid', r'got 8 bytes, b.\\x89PNG'),
        (b'\xff\xd8', 'jpeg_truncated', r'expected a marker; got the end at byte 2'),
        (b'\xff\xd8' + b'\xff' * 1000, 'jpeg_truncated', r'got the end at byte'),
        (b'\xff\xd8\xff\xd9\x00\x00', 'jpeg_invalid', r'expected a header .*got marker FF D9'),
        (b'\xff\xd8' + JPEG, 'jpeg_invalid', r'got marker FF D8'),
        (patched(2, b'\x00'), 'jpeg_invalid', r'expected a marker at byte 2; got 0x00'),
        (patched(4, b'\x00\x01'), 'jpeg_invalid', r'at least 2; got 1'),
        (JPEG[: FRAME + 8], 'jpeg_truncated', r'bytes of headers; got'),
        (JPEG[:SCAN], 'jpeg_truncated', r'expected a marker; got the end'),
        (JPEG[: SCAN + 100], 'jpeg_truncated', r'expected the end marker FF D9; got none'),
        (JPEG[:-2], 'jpeg_truncated', r'expected the end marker FF D9; got none'),
        (JPEG[:-2] + bytes(100), 'jpeg_truncated', r'expected the end marker FF D9; got none'),
        (JPEG[:2] + THUMBNAIL + JPEG[2:-2], 'jpeg_truncated', r'expected the end marker'),
        (JPEG[: SCAN + 14] + b'\xff\xd9', 'jpeg_truncated', r'expected pixels; got 2 bytes'),
        (without(0xC0), 'jpeg_invalid', r'expected a frame header before the pixels; got none'),
        (without(0xDB).replace(b'\xff\xdb', b'\xff\xec'), 'jpeg_invalid', r'quantization table'),
        (
            JPEG[:FRAME] + JPEG[FRAME : FRAME + 19] * 2 + JPEG[FRAME + 19 :],
            'jpeg_invalid',
            r'second',
        ),
        (patched(FRAME + 9, b'\x04'), 'jpeg_invalid', r'whole frame header; got 15 bytes'),
        (patched(FRAME + 5, b'\0\0'), 'jpeg_invalid', r'at least 1 x 1 pixels; got 0 x 40'),
        (patched(FRAME + 7, b'\0\0'), 'jpeg_invalid', r'at least 1 x 1 pixels; got 24 x 0'),
        (patched(FRAME, b'\xff\xc3'), 'jpeg_unsupported', r'progressive; got frame marker FF C3'),
        (patched(FRAME + 4, b'\x0c'), 'jpeg_unsupported', r'8 bits a sample; got 12'),
        (
            JPEG[: FRAME + 2] + b'\0\x0e\x08\0\x18\0\x28\x02' + bytes(6) + JPEG[FRAME + 19 :],
            'jpeg_unsupported',
            r'1, 3 or 4 channels; got 2',
        ),
    ],
)
def test_broken_jpegs(data, reason, match):
    with pytest.raises(jpeg.JpegError, match=match) as error:
        jpeg.check(data)
    assert error.value.reason == reason


def test_decode():
    assert jpeg.decode(JPEG) == jpeg.check(JPEG)
    with pytest.raises(jpeg.JpegError, match='expected pixels that decode; got') as error:
        jpeg.decode(patched(FRAME + 12, b'\x03'))
    assert error.value.reason == 'jpeg_undecodable'
    with pytest.raises(jpeg.JpegError, match='expected the end marker'):
        jpeg.decode(JPEG[:-2])


def test_decode_is_strict_whatever_others_ask_of_pillow(monkeypatch):
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)  # as TFDS does
    table = JPEG.index(b'\xff\xc4') + 5
    with pytest.raises(jpeg.JpegError, match='expected pixels that decode'):
        jpeg.decode(patched(table, b'\xff' * 16))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_decode_refuses_bombs():
    bomb = patched(FRAME + 5, b'\xff\xff\xff\xff')
    assert jpeg.check(bomb).height == 65535
    with pytest.raises(jpeg.JpegError, match='expected pixels that decode; got'):
        jpeg.decode(bomb)


def test_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(jpeg.JpegError('jpeg_invalid', 'text')))
    assert (error.reason, str(error)) == ('jpeg_invalid', 'text')


@hypothesis.given(
    st.integers(0, len(JPEG)), st.binary(max_size=8), st.integers(0, 8), st.booleans()
)
def test_any_change_is_found_or_fine(position, inserted, removed, cut):
    data = JPEG[:position] + inserted + (b'' if cut else JPEG[position + removed :])
    try:
        header = jpeg.check(data)
    except jpeg.JpegError:
        return
    assert header.height >= 1 and header.width >= 1 and header.channels in (1, 3, 4)
