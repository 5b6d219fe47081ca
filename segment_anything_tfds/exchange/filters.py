"""Rules for what to keep, such as `area>=1000, predicted_iou>0.9, width>=2000`."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable

from segment_anything_tfds.exchange import records

_OPERATORS = {
    '>=': operator.ge,
    '<=': operator.le,
    '==': operator.eq,
    '!=': operator.ne,
    '>': operator.gt,
    '<': operator.lt,
}
_RULE = re.compile(r'([a-z_]+)\s*(>=|<=|==|!=|>|<)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)')
_MASK_FIELDS = ('area', 'relative_area', 'predicted_iou', 'stability_score', 'id')
_IMAGE_FIELDS = ('width', 'height', 'image_id', 'num_masks')

Filter = Callable[[records.Record], records.Record | None]


@dataclasses.dataclass(frozen=True)
class _Rule:
    field: str
    compare: Callable[[float, float], bool]
    value: float

    def holds(self, value: float) -> bool:
        return self.compare(value, self.value)


def parse(text: str) -> Filter:
    """A filter of records, from rules joined by commas.

    A rule on masks (`area`, `relative_area` of the image, `predicted_iou`, `stability_score`, `id`)
    leaves out masks; a rule on images (`width`, `height`, `image_id`, `num_masks` that are left)
    leaves out images.

    Args:
      text: the rules; everything is kept where it is empty.

    Returns:
      A function that gives a record with the masks that are left, or `None`.

    Raises:
      ValueError: a rule is malformed, or names another field.

    Example:
      >>> keep = parse('area>=1000, num_masks>=1')
    """
    rules = [_parse_rule(part.strip()) for part in text.split(',') if part.strip()]
    on_masks = [rule for rule in rules if rule.field in _MASK_FIELDS]
    on_images = [rule for rule in rules if rule.field in _IMAGE_FIELDS]

    def keep(record: records.Record) -> records.Record | None:
        if on_masks:
            record = record.only([_mask_passes(on_masks, record, row) for row in record.rows])
        image = {**record.json['image'], 'num_masks': len(record.rows)}
        return record if all(rule.holds(image[rule.field]) for rule in on_images) else None

    return keep


def _mask_passes(rules: list[_Rule], record: records.Record, row: dict) -> bool:
    image = record.json['image']
    relative = row['area'] / (image['height'] * image['width'])
    values = {**row, 'relative_area': relative}
    return all(rule.holds(values[rule.field]) for rule in rules)


def _parse_rule(text: str) -> _Rule:
    match = _RULE.fullmatch(text)
    fields = (*_MASK_FIELDS, *_IMAGE_FIELDS)
    try:
        if match is None or match[1] not in fields:
            raise ValueError(text)
        whole = match[3].lstrip('+-').isdigit()  # ids are too large for a float
        value = int(match[3]) if whole else float(match[3])
        return _Rule(match[1], _OPERATORS[match[2]], value)
    except ValueError:
        raise ValueError(
            '`filters.parse`: expected rules such as area>=1000 on one of '
            f'{", ".join(fields)}; got {text!r}. Join rules by commas.'
        ) from None
