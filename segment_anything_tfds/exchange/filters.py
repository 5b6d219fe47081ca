"""Rules for what to keep, such as `area>=1000, predicted_iou>0.9, label==dog, depth==0`."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from segment_anything_tfds.exchange import carried, records
from segment_anything_tfds.source.record import coco_rle

_OPERATORS = {
    '>=': operator.ge,
    '<=': operator.le,
    '==': operator.eq,
    '!=': operator.ne,
    '>': operator.gt,
    '<': operator.lt,
}
_RULE = re.compile(
    r"""\s*([A-Za-z_]\w*)\s*(>=|<=|==|!=|>|<)\s*("[^"]*"|'[^']*'|[^,'"]*?)\s*(?:,\s*|$)"""
)
_NUMBER = re.compile(r'[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?')
_TREE_FIELDS = ('depth', 'children', 'level')
_MASK_FIELDS = (
    'area',
    'relative_area',
    'predicted_iou',
    'stability_score',
    'id',
    'scored',
    *_TREE_FIELDS,
)
_IMAGE_FIELDS = ('width', 'height', 'image_id', 'num_masks')
_TEXT_FIELDS = {'level': coco_rle.LEVELS}

Filter = Callable[[records.Record], records.Record | None]


@dataclasses.dataclass(frozen=True)
class _Rule:
    field: str
    compare: Callable[[Any, Any], bool]
    value: float | str

    def holds(self, value: float | str) -> bool:
        return bool(self.compare(value, self.value))


def parse(text: str, columns: Mapping[str, type] | None = None) -> Filter:
    """Makes a filter of records from rules joined by commas.

    A rule on masks leaves out masks: on `area`, `relative_area` of the image, `predicted_iou`,
    `stability_score`, `id`; `scored`, 1 where a model has scored the mask, else 0; `depth`,
    `children` and `level` in the tree of `coco_rle.hierarchy` of all masks of the image; and on the
    columns of a table of labels, such as `label==dog`. A mask that no model has scored counts as
    1.0 in rules on its scores: people have made it, or looked at it.

    A rule on images (`width`, `height`, `image_id`, `num_masks` that are left) leaves out images.

    Args:
      text: the rules; everything is kept where it is empty. A text with a comma is quoted.
      columns: further fields of masks, by name: `float` or `str`.

    Returns:
      A function that gives a record with the masks that are left, or `None`.

    Raises:
      ValueError: a rule is malformed, or names another field.

    Example:
      >>> keep = parse('area>=1000, level==whole, num_masks>=1')
    """
    known = {name: float for name in (*_MASK_FIELDS, *_IMAGE_FIELDS)}
    known |= {**(columns or {}), **dict.fromkeys(_TEXT_FIELDS, str)}
    rules = _parse(text, known)
    on_images = [rule for rule in rules if rule.field in _IMAGE_FIELDS]
    on_masks = [rule for rule in rules if rule.field not in _IMAGE_FIELDS]
    needs_tree = any(rule.field in _TREE_FIELDS for rule in on_masks)

    def keep(record: records.Record) -> records.Record | None:
        if on_masks:
            trees = _trees(record) if needs_tree else [{}] * len(record.rows)
            values = (_values(record, n, trees[n]) for n in range(len(record.rows)))
            record = record.only([all(r.holds(row[r.field]) for r in on_masks) for row in values])
        image = {**record.json['image'], 'num_masks': len(record.rows)}
        return record if all(rule.holds(image[rule.field]) for rule in on_images) else None

    return keep


def _values(record: records.Record, index: int, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what rules can ask of a mask."""
    row, image = record.rows[index], record.json['image']
    scored = carried.is_scored(row)
    return {
        **{name: column[index] for name, column in record.labels.items()},
        **row,
        **({} if scored else {'predicted_iou': 1.0, 'stability_score': 1.0}),
        'relative_area': row['area'] / (image['height'] * image['width']),
        'scored': int(scored),
        **tree,
    }


def _trees(record: records.Record) -> list[dict[str, Any]]:
    """Gives `depth`, `children` and `level` of each mask."""
    size = [record.json['image'][key] for key in ('height', 'width')]
    counts = [row['segmentation']['counts'] for row in record.rows]
    tree = coco_rle.hierarchy(counts, size)
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(counts))
    return [
        {'depth': depth, 'children': count, 'level': level}
        for depth, count, level in zip(
            tree.depth.tolist(), children.tolist(), tree.levels.tolist(), strict=True
        )
    ]


def _parse(text: str, known: Mapping[str, type]) -> list[_Rule]:
    rules, position = [], 0
    while position < len(text.rstrip()):
        match = _RULE.match(text, position)
        if match is None:
            raise _error(text[position:], known)
        rules.append(_read_rule(match, known))
        position = match.end()
    return rules


def _read_rule(match: re.Match, known: Mapping[str, type]) -> _Rule:
    field, symbol, value = match.groups()
    if known.get(field) is str:
        value = value.strip('\'"')
        allowed = _TEXT_FIELDS.get(field)
        if symbol not in ('==', '!=') or (allowed and value not in allowed):
            raise _error(match[0], known)
        return _Rule(field, _OPERATORS[symbol], value)
    try:
        if field not in known or _NUMBER.fullmatch(value) is None:
            raise ValueError(value)
        whole = value.lstrip('+-').isdigit()  # ids are too large for a float
        return _Rule(field, _OPERATORS[symbol], int(value) if whole else float(value))
    except ValueError:
        raise _error(match[0], known) from None


def _error(text: str, known: Mapping[str, type]) -> ValueError:
    return ValueError(
        f'`filters.parse`: expected rules such as area>=1000 on one of {", ".join(known)}; got '
        f'{text.strip(", ")!r}. Join rules by commas; labels need a table of labels.'
    )
