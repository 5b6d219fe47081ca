"""Masks, boxes and points drawn over an image, with Pillow and NumPy.

Images are `uint8` [H, W, 3] in RGB, masks `uint8` [N, H, W] (0 is background), pixel coordinates
are (x, y) from the top left corner. Nothing here changes its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage

_GOLDEN_ANGLE = 137.50776405
_FILL, _FULL_FRAME_FILL = 0.45, 0.15
_GREEN, _RED, _WHITE = (46, 204, 113), (231, 76, 60), (255, 255, 255)


def palette(count: int) -> np.ndarray:
    """Makes distinct, equally bright colours: hues step by the golden angle in the OKLCH space.

    The first colours do not change with `count`, so mask *i* keeps its colour when masks are added.

    Args:
      count: how many colours, 0 or more.

    Returns:
      `uint8` [count, 3], RGB.
    """
    index = np.arange(count)
    hue = np.deg2rad(25 + index * _GOLDEN_ANGLE)
    lightness = np.array([0.72, 0.82, 0.64])[index % 3]
    chroma = np.array([0.17, 0.15, 0.19])[index % 3]
    return _oklab_to_rgb(lightness, chroma * np.cos(hue), chroma * np.sin(hue))


def overlay(
    image: np.ndarray,
    masks: np.ndarray,
    *,
    boxes: np.ndarray | None = None,
    points: np.ndarray | None = None,
    point_labels: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
) -> np.ndarray:
    """Draws masks over an image: a translucent fill and an outline each, small masks on top.

    The larger a mask, the lighter its fill, so that a mask of the whole frame hides nothing.

    Args:
      image: `uint8` [H, W, 3].
      masks: `uint8` or `bool` [N, H, W]; every non-zero pixel belongs to the mask.
      boxes: [M, 4], x0, y0, x1, y1 in pixels; box *i* takes the colour of mask *i*.
      points: [P, 2], x, y in pixels.
      point_labels: [P]: 1 foreground (green), 0 background (red), -1 padding (not drawn). All
        foreground where not given.
      colors: `uint8` [N, 3]; `palette(N)` where not given.
      texts: N short texts, such as scores; each is written where its mask is highest.

    Returns:
      `uint8` [H, W, 3], a new array. With no masks, boxes and points, a copy of `image`.

    Raises:
      ValueError: where a shape or a dtype is another.

    Example:
      >>> image = np.full([4, 4, 3], 255, np.uint8)
      >>> masks = np.zeros([1, 4, 4], np.uint8)
      >>> overlay(image, masks).shape
      (4, 4, 3)
    """
    image, masks = np.asarray(image), np.asarray(masks)
    _check('overlay:image', image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3,
           'of dtype uint8 and shape [H, W, 3]', image)  # fmt: skip
    _check('overlay:masks', masks.ndim == 3 and masks.shape[1:] == image.shape[:2],
           f'of shape [N, {image.shape[0]}, {image.shape[1]}], as the image', masks)  # fmt: skip
    colors = palette(len(masks)) if colors is None else np.asarray(colors)
    _check('overlay:colors', colors.shape == (len(masks), 3), f'of shape [{len(masks)}, 3]', colors)
    canvas = image.astype(np.float32)
    line = line_width(image.shape[:2])
    areas = np.count_nonzero(masks, axis=(1, 2))
    for i in np.argsort(-areas, kind='stable'):
        if areas[i]:
            share = float(areas[i] / masks[i].size) ** 0.5
            alpha = _FILL + (_FULL_FRAME_FILL - _FILL) * share
            _paint(canvas, masks[i], colors[i], line, alpha)
    picture = Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))
    if boxes is not None:
        _draw_boxes(picture, np.asarray(boxes), colors, line)
    if points is not None:
        _draw_points(picture, np.asarray(points), point_labels, line)
    if texts is not None:
        _check(
            'overlay:texts', len(texts) == len(masks), f'of length {len(masks)}', np.array(texts)
        )
        _write_texts(picture, masks, texts, colors)
    return np.asarray(picture)


def contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell: int = 384,
    gap: int = 12,
) -> np.ndarray:
    """Lays images out in a grid, each fitted into a square cell, with a caption under it.

    Args:
      images: `uint8` [H, W, 3] each, of any sizes; at least one.
      captions: one line for each image; shortened where it is wider than the cell.
      columns: images in a row; a grid as near to square as possible where not given.
      cell: side of a cell in pixels.
      gap: pixels between cells and around them.

    Returns:
      `uint8` [H, W, 3]; the width follows from `columns`, `cell` and `gap`.

    Raises:
      ValueError: with no images, or another number of captions.
    """
    _check('contact_sheet:images', len(images) > 0, 'with at least one image', np.zeros(0))
    captions = [''] * len(images) if captions is None else captions
    _check(
        'contact_sheet:captions',
        len(captions) == len(images),
        f'of length {len(images)}',
        np.array(captions),
    )
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    font = ImageFont.load_default(size=max(11, cell // 24))
    text = max(11, cell // 24) + 12 if any(captions) else 0
    small = [fit(image, cell) for image in images]
    starts = range(0, len(small), columns)
    heights = [max(picture.height for picture in small[s : s + columns]) for s in starts]
    size = (gap + columns * (cell + gap), gap + sum(heights) + len(heights) * (text + gap))
    sheet = Image.new('RGB', size, (24, 26, 30))
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(small, captions, strict=True)):
        row, column = divmod(i, columns)
        x, y = gap + column * (cell + gap), gap + sum(heights[:row]) + row * (text + gap)
        at = (x + (cell - picture.width) // 2, y + (heights[row] - picture.height) // 2)
        sheet.paste(picture, at)
        caption = _shorten(caption, font, cell)
        draw.text((x + cell / 2, y + heights[row] + 5), caption, (210, 214, 220), font, 'ma')
    return np.asarray(sheet)


def fit(image: np.ndarray, side: int) -> Image.Image:
    """Makes the image smaller where its longer side is over `side` pixels; never larger."""
    picture = Image.fromarray(image)
    scale = min(1.0, side / max(picture.size))
    size = tuple(max(1, round(edge * scale)) for edge in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS) if size != picture.size else picture


def line_width(size: Sequence[int]) -> int:
    """Gives the width of an outline, in pixels, that looks the same at every `size`."""
    return max(1, round(min(size) / 450))


def _paint(
    canvas: np.ndarray, mask: np.ndarray, color: np.ndarray, line: int, alpha: float
) -> None:
    """Blends one mask into `canvas` (float32 [H, W, 3]), within the mask's bounding box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    pad = line + 2
    window = (
        slice(max(0, rows[0] - pad), rows[-1] + 1 + pad),
        slice(max(0, columns[0] - pad), columns[-1] + 1 + pad),
    )
    covered = (mask[window] != 0).astype(np.uint8) * 255
    shape = Image.fromarray(covered)
    soft = ImageFilter.GaussianBlur(0.35 + 0.15 * line)
    fill = np.asarray(shape.filter(soft), np.float32) * (alpha / 255)
    edge = Image.fromarray(covered - ndimage.minimum_filter(covered, 2 * line + 1)).filter(soft)
    edge = np.minimum(np.asarray(edge, np.float32) * (1.15 / 255), 1)
    bright = color + (255 - color.astype(np.float32)) * 0.3
    region = canvas[window]
    region += (color - region) * fill[..., None]
    region += (bright - region) * edge[..., None]


def _draw_boxes(picture: Image.Image, boxes: np.ndarray, colors: np.ndarray, line: int) -> None:
    _check('overlay:boxes', boxes.ndim == 2 and boxes.shape[-1] == 4, 'of shape [M, 4]', boxes)
    if len(boxes) > len(colors):
        colors = palette(len(boxes))
    draw = ImageDraw.Draw(picture)
    for (x0, y0, x1, y1), color in zip(boxes.tolist(), colors.tolist(), strict=False):
        frame = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        draw.rectangle(frame, outline=tuple(color), width=line + 1)


def _draw_points(
    picture: Image.Image, points: np.ndarray, labels: np.ndarray | None, line: int
) -> None:
    _check('overlay:points', points.ndim == 2 and points.shape[-1] == 2, 'of shape [P, 2]', points)
    labels = np.ones(len(points)) if labels is None else np.asarray(labels)
    _check(
        'overlay:point_labels',
        labels.shape == points.shape[:1],
        f'of shape [{len(points)}]',
        labels,
    )
    radius = 3 + 2 * line
    discs = {1: _disc(radius, _GREEN), 0: _disc(radius, _RED)}
    for (x, y), label in zip(points.tolist(), labels.tolist(), strict=True):
        if label in discs:
            at = (round(x) - radius - 1, round(y) - radius - 1)
            picture.paste(discs[label], at, discs[label])


def _write_texts(
    picture: Image.Image, masks: np.ndarray, texts: Sequence[str], colors: np.ndarray
) -> None:
    draw = ImageDraw.Draw(picture)
    size = max(10, min(picture.size) // 60)
    font = ImageFont.load_default(size=size)
    for mask, text, color in zip(masks, texts, colors.tolist(), strict=True):
        if mask.any():
            row = int(mask.any(1).argmax())
            room = picture.width - 5 - math.ceil(draw.textbbox((0, 0), text, font)[2])
            at = (max(0, min(int(mask[row].argmax()), room)) + 2, row + 2)
            plate = draw.textbbox(at, text, font)
            draw.rectangle((plate[0] - 2, plate[1] - 2, plate[2] + 2, plate[3] + 2), (20, 22, 26))
            draw.text(at, text, tuple(color), font)


def _disc(radius: int, color: tuple[int, int, int]) -> Image.Image:
    """Draws a smooth disc with a white rim, four times larger, and reduces it."""
    side = 4 * (2 * radius + 3)
    disc = Image.new('RGBA', (side, side), (*_WHITE, 0))
    draw = ImageDraw.Draw(disc)
    draw.ellipse((2, 2, side - 3, side - 3), fill=(*_WHITE, 255))
    rim = max(5, radius)
    draw.ellipse((rim, rim, side - 1 - rim, side - 1 - rim), fill=(*color, 255))
    return disc.resize((side // 4, side // 4), Image.Resampling.LANCZOS)


def _shorten(text: str, font: ImageFont.ImageFont, width: int) -> str:
    """Cuts the text at its end, with an ellipsis, where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + '...') > width:
        text = text[:-1]
    return text + '...'


def _oklab_to_rgb(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Turns OKLab (https://bottosson.github.io/posts/oklab/) into sRGB, clipped to its gamut."""
    cone = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    linear = np.array([
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]) @ cone**3  # fmt: skip
    linear = np.clip(linear, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(coded * 255).astype(np.uint8).T


def _check(name: str, fine: bool, rule: str, value: np.ndarray) -> None:
    if not fine:
        raise ValueError(
            f'draw.{name.replace(":", ": expected `")}` {rule}; got {value.dtype.name} of shape '
            f'{list(value.shape)}. Convert it first.'
        )
