"""Checks JPEG files by their structure, without decoding pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import threading
import warnings

_SOI, _EOI = b'\xff\xd8', b'\xff\xd9'
_DQT, _SOS = 0xDB, 0xDA
# Frames of any kind; among their markers stand those of Huffman tables (C4), of arithmetic coding
# (CC), and one that is reserved (C8).
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOF_SUPPORTED = {0xC0: 'baseline', 0xC1: 'extended sequential', 0xC2: 'progressive'}
# Markers without a payload: TEM and RST0 to RST7.
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_CHANNELS = (1, 3, 4)
_FILL = re.compile(rb'\xff+')
_PILLOW_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of a JPEG says.

    Attributes:
      height: rows, as stored (EXIF rotation is not applied, nor do TensorFlow or TFDS apply it).
      width: columns, as stored.
      channels: 1 (grayscale), 3 (colour) or 4 (CMYK). TFDS decodes all of them to RGB.
    """

    height: int
    width: int
    channels: int


class JpegError(ValueError):
    """A file that is no whole JPEG; `reason` is a slug of `reasons.REASONS`."""

    def __init__(self, reason: str, message: str):
        self.reason = reason
        super().__init__(message)

    def __reduce__(self):
        return type(self), (self.reason, str(self))


def check(data: bytes) -> Header:
    """Checks that a file is a whole JPEG, by its headers and its end marker.

    Bytes after the end marker are accepted, as decoders do. Compressed pixels are not looked at:
    that is `decode`.

    Args:
      data: the file.

    Returns:
      The size and the number of channels.

    Raises:
      JpegError: the file is not a JPEG, is cut off, or is of a kind that TensorFlow cannot decode.
    """
    if not data.startswith(_SOI):
        raise JpegError('jpeg_invalid', f'expected a JPEG; got {len(data)} bytes, {data[:16]!r}')
    header, has_tables, position = None, False, 2
    while True:
        marker, start, end = _next_segment(data, position)
        if marker in _SOF:
            if header is not None:
                raise JpegError('jpeg_invalid', 'expected one frame header; got a second one')
            header = _read_frame(marker, data[start:end])
        elif marker == _DQT:
            has_tables = True
        elif marker == _SOS:
            break
        position = end
    if header is None or not has_tables:
        missing = 'frame header' if header is None else 'quantization table'
        raise JpegError('jpeg_invalid', f'expected a {missing} before the pixels; got none')
    if not data.endswith(_EOI) and data.rfind(_EOI, end) < 0:
        raise JpegError(
            'jpeg_truncated',
            f'expected the end marker FF D9; got none in the {len(data) - end} bytes of pixels',
        )
    if len(data) < end + 3:
        raise JpegError('jpeg_truncated', f'expected pixels; got {len(data) - end} bytes of them')
    return header


def decode(data: bytes) -> Header:
    """Checks a JPEG as `check` does, then decodes its pixels with Pillow and discards them.

    Finds what a decoder refuses. Damage that decoders paint over in grey passes here, as it does in
    TensorFlow.

    Raises:
      JpegError: as `check`, or the pixels cannot be decoded.
    """
    header = check(data)
    from PIL import Image

    try:
        with strict_pillow(), warnings.catch_warnings():
            warnings.simplefilter('error')
            with Image.open(io.BytesIO(data), formats=['JPEG']) as image:
                image.load()
                size = image.height, image.width
    except Exception as error:
        raise JpegError('jpeg_undecodable', f'expected pixels that decode; got {error}') from None
    if size != (header.height, header.width):
        raise JpegError('jpeg_undecodable', f'expected {header} to decode to its size; got {size}')
    return header


@contextlib.contextmanager
def strict_pillow():
    """Undoes what TFDS asks of Pillow for the whole process: to pass over damage."""
    from PIL import ImageFile

    with _PILLOW_LOCK:
        tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _next_segment(data: bytes, position: int) -> tuple[int, int, int]:
    """Finds the next marker segment: its marker, and where its payload starts and ends."""
    fill = _FILL.match(data, position)
    position = position if fill is None else fill.end() - 1
    if position + 4 > len(data):
        raise JpegError('jpeg_truncated', f'expected a marker; got the end at byte {len(data)}')
    if fill is None:
        raise JpegError(
            'jpeg_invalid', f'expected a marker at byte {position}; got {data[position]:#04x}'
        )
    marker = data[position + 1]
    if marker in _STANDALONE:
        return marker, position + 2, position + 2
    if marker in (0x00, 0xD8, 0xD9):
        raise JpegError(
            'jpeg_invalid', f'expected a header at byte {position}; got marker FF {marker:02X}'
        )
    length = int.from_bytes(data[position + 2 : position + 4], 'big')
    if length < 2:
        raise JpegError('jpeg_invalid', f'expected a segment length of at least 2; got {length}')
    end = position + 2 + length
    if end > len(data):
        raise JpegError('jpeg_truncated', f'expected {end} bytes of headers; got {len(data)}')
    return marker, position + 4, end


def _read_frame(marker: int, payload: bytes) -> Header:
    if marker not in _SOF_SUPPORTED:
        known = ', '.join(_SOF_SUPPORTED.values())
        raise JpegError('jpeg_unsupported', f'expected {known}; got frame marker FF {marker:02X}')
    # precision, height and width of two bytes each, channels, and three bytes for each channel
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
        raise JpegError('jpeg_invalid', f'expected a whole frame header; got {len(payload)} bytes')
    precision, channels = payload[0], payload[5]
    height, width = int.from_bytes(payload[1:3], 'big'), int.from_bytes(payload[3:5], 'big')
    if precision != 8:
        raise JpegError('jpeg_unsupported', f'expected 8 bits a sample; got {precision}')
    if channels not in _CHANNELS:
        raise JpegError('jpeg_unsupported', f'expected 1, 3 or 4 channels; got {channels}')
    if height < 1 or width < 1:
        raise JpegError('jpeg_invalid', f'expected at least 1 x 1 pixels; got {height} x {width}')
    return Header(height, width, channels)
