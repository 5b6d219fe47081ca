"""What is wrong with the masks of one record: their strings, their sizes, their areas."""

from __future__ import annotations

from collections.abc import Iterator

from segment_anything_tfds.source.record import annotation_rows, coco_rle

_AT_ONCE = 1 << 20  # bytes of strings that are parsed together, which takes 27 times as much memory


def judge(counts: list[bytes], areas: list[int], num_pixels: int) -> dict[int, tuple[str, str]]:
    """Parses compressed RLEs and compares them with what the record says of them.

    Args:
      counts: N compressed strings.
      areas: pixels of each mask, as the record has it.
      num_pixels: height x width of the image.

    Returns:
      By position: the reason and the detail of the first rule that a mask breaks. Masks without a
      fault are not in it.
    """
    verdicts = {}
    for start, end in _groups(counts):
        found = _judge_group(counts[start:end], areas[start:end], num_pixels)
        verdicts.update({start + n: verdict for n, verdict in found.items()})
    return verdicts


def _groups(counts: list[bytes]) -> Iterator[tuple[int, int]]:
    """Ranges of masks whose strings are short enough together to be parsed at once."""
    start = size = 0
    for n, string in enumerate(counts):
        size += len(string)
        if size > _AT_ONCE:
            yield start, n + 1
            start, size = n + 1, 0
    if start < len(counts):
        yield start, len(counts)


def _judge_group(counts: list[bytes], areas: list[int], num_pixels: int) -> dict:
    runs = coco_rle.parse(counts)
    sums, found = (column.tolist() for column in runs.sums())
    if not runs.problems and sums.count(num_pixels) == len(sums) and found == areas:
        return {}
    verdicts = {
        n: (slug, f'`counts`: {coco_rle.PROBLEMS[slug]}; got {annotation_rows.shorten(counts[n])}')
        for n, slug in runs.problems.items()
    }
    for n, (total, expected, area) in enumerate(zip(sums, found, areas, strict=True)):
        if n in verdicts:
            continue
        if total != num_pixels:
            detail = f'expected runs that sum to {num_pixels}, height x width; got {total}'
            verdicts[n] = ('rle_sum_mismatch', detail)
        elif area != expected:
            detail = f'expected `area` to be {expected}, as in `counts`; got {area}'
            verdicts[n] = ('area_mismatch', detail)
    return verdicts
