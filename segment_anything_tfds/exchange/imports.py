"""From the files of annotation tools, and COCO, to records and archives of SA-1B.

Masks keep the ids that they carried through a tool, new ones get new ids, and those that people
have deleted are gone. `carried` says what becomes of scores and prompts.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib
import os
import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from segment_anything_tfds.exchange import carried, formats, records, side_tables
from segment_anything_tfds.exchange.options import READABLE, Options
from segment_anything_tfds.exchange.readers import drawn, image_files
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.record import coco_rle

_SA_NAME = re.compile(r'(?:.*[-_/\\])?sa_([0-9]{1,18})\.[A-Za-z]+')


@dataclasses.dataclass(frozen=True)
class Imported:
    """A record, and what of it stands in the side tables.

    Attributes:
      record: as SA-1B's.
      image: the image's row of `images.csv`; None where its archive tells everything.
      labels: rows of `labels.csv`.
      states: of each mask, `'unchanged'`, `'changed'` or `'new'`.
    """

    record: records.Record
    image: tuple | None
    labels: list[tuple]
    states: list[str]


def read(
    path: str | os.PathLike,
    name: str,
    *,
    images: str | os.PathLike | None = None,
    on_fault: records.OnFault = records.raise_fault,
) -> Iterator[Imported]:
    """Reads what a tool has written, image by image.

    Args:
      path: a file of the format, or the folder with its files.
      name: a key of `options.READABLE`.
      images: the folder with the images; by default they are looked for beside the files, and in
        `images` and `data` there.
      on_fault: called with each fault; what has it is left out. By default the first one raises.

    Yields:
      Records, in the order of the files.

    Raises:
      FileNotFoundError: there is no such path.
      ValueError: the folder holds no file of the format.
      DataError: a file is not of the format; or, by default, something in it was refused.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f'`imports.read`: expected `path` to exist; got {path}. Check its spelling.'
        )
    reader = importlib.import_module(f'{__package__}.readers.from_{name}')
    files = reader.find(path)
    if not files:
        raise ValueError(
            f'`imports.read`: expected files of {READABLE[name]} in {path}; got none. '
            'Name the file, or the folder that holds it.'
        )
    converter = Converter()
    for file in files:
        report = drawn.Report(file.name, on_fault)
        pictures = image_files.ImageFiles(_folders(file, images), by_name_alone=images is not None)
        for picture in reader.read(file, on_fault):
            with report.element(picture.where):
                content = picture.content or pictures.read(picture.file_name)
                yield converter.convert(picture, content, report, turned=reader.TURNED)


def _folders(file: pathlib.Path, images: str | os.PathLike | None) -> list[pathlib.Path]:
    """Tells where the images of a file may lie."""
    if images is not None:
        return [pathlib.Path(images)]
    here, above = file.parent, file.absolute().parent.parent
    beside = [here, here / 'images', here / 'data', above / 'images']
    return [*beside, above / file.stem.rpartition('_')[2], above]


class Converter:
    """Turns images with their masks into records, and keeps all ids apart."""

    def __init__(self):
        self._images: set[int] = set()
        self._masks: set[int] = set()
        self._next = 1

    def convert(
        self, picture: drawn.Picture, content: bytes, report: drawn.Report, *, turned: bool
    ) -> Imported:
        """Makes the record of an image.

        Args:
          picture: the masks.
          content: the image's file.
          report: takes what is wrong with single masks; they are left out.
          turned: as in `image_files.to_jpeg`.

        Raises:
          Refused: the image cannot be taken.
        """
        jpeg, size = image_files.to_jpeg(content, picture.size, turned=turned)
        image_id = self._image_id(picture)
        masks, ids = [], []
        for mask in _with_counts(picture.masks, size, report):
            number = mask.fields.get('sa_id', mask.original_id)
            with report.element(mask.where):
                if number is not None:
                    self._take(number)
                masks.append(mask)
                ids.append(number)
        fresh = (
            number
            for n in range(carried.NEW_IDS_PER_IMAGE + 1)
            if (number := carried.new_id(image_id, n)) not in ids
        )
        states = [_state(mask) for mask in masks]
        ids = [next(fresh) if number is None else number for number in ids]
        rows = carried.rows(ids, [mask.counts for mask in masks], size, [m.fields for m in masks])
        record = _to_record(image_id, jpeg, size, rows, [mask.label for mask in masks])
        labels = [
            (number, mask.label, mask.original_id, int(mask.is_crowd))
            for number, mask in zip(ids, masks, strict=True)
            if mask.label or mask.is_crowd or mask.original_id not in (None, number)
        ]
        return Imported(record, _origin(picture, image_id), labels, states)

    def _image_id(self, picture: drawn.Picture) -> int:
        """Gives the number in SA-1B's name, or the file's, or the next."""
        match = _SA_NAME.fullmatch(picture.file_name)
        number = int(match[1]) if match else picture.image_id
        if number is None:
            number = self._next
            self._next += 1
        if number in self._images:
            raise drawn.Refused(
                'import_duplicate',
                f'expected each image once; got {picture.file_name!r} as image {number} again',
            )
        self._images.add(number)
        return number

    def _take(self, number: int) -> None:
        """Notes the id of a mask."""
        if number in self._masks:
            raise drawn.Refused(
                'import_duplicate',
                f'expected the id {number} once; got it again. A copy of a mask needs no id: '
                'empty its sa_id',
            )
        self._masks.add(number)


def _with_counts(
    masks: list[drawn.Mask], size: tuple[int, int], report: drawn.Report
) -> list[drawn.Mask]:
    """Gives the masks compressed strings; row-major runs are turned all at once."""
    crops = [mask.counts for mask in masks if isinstance(mask.counts, coco_rle.RowRuns)]
    try:
        strings = iter(coco_rle.from_row_runs(crops, size))
    except ValueError:  # each of them alone tells which it was
        return [found for mask in masks for found in _alone(mask, size, report)]
    return [
        dataclasses.replace(mask, counts=next(strings))
        if isinstance(mask.counts, coco_rle.RowRuns)
        else mask
        for mask in masks
    ]


def _alone(mask: drawn.Mask, size: tuple[int, int], report: drawn.Report) -> Iterator[drawn.Mask]:
    """Gives the mask with a compressed string; none if its runs do not fit, which is reported."""
    with report.element(mask.where):
        if isinstance(mask.counts, coco_rle.RowRuns):
            try:
                (string,) = coco_rle.from_row_runs([mask.counts], size)
            except ValueError as error:
                raise drawn.Refused('import_size_mismatch', f'`rle`: {error}') from None
            mask = dataclasses.replace(mask, counts=string)
        yield mask


def _state(mask: drawn.Mask) -> str:
    if not mask.fields:
        return 'new'
    same = mask.fields.get('sa_mask', '') in ('', carried.digest(mask.counts))
    return 'unchanged' if same else 'changed'


def _origin(picture: drawn.Picture, image_id: int) -> tuple | None:
    known = pathlib.PurePosixPath(picture.file_name).name == f'sa_{image_id}.jpg'
    row = (picture.file_name, picture.image_id, picture.license, picture.license_url)
    return None if known and not picture.license else (image_id, *row, picture.source)


def _to_record(
    image_id: int, jpeg: bytes, size: tuple[int, int], rows: list[dict], labels: list[str]
) -> records.Record:
    name = f'sa_{image_id}.jpg'
    image = {'image_id': image_id, 'width': size[1], 'height': size[0], 'file_name': name}
    named = {'label': labels} if any(labels) else {}
    try:
        return records.build(jpeg, {'image': image, 'annotations': rows}, named)
    except faults.DataError as error:
        first = error.faults[0]
        raise drawn.Refused('import_invalid', f'{first.detail} [{first.reason}]') from None


def write(
    found: Iterable[Imported],
    out: str | os.PathLike,
    options: Options | None = None,
) -> Counter:
    """Writes archives of SA-1B, with side tables beside them; the folder appears when it is whole.

    Args:
      found: what `read` gives.
      out: the folder to make.
      options: how many images an archive, and from which number on.

    Returns:
      How many `images` and `masks` there are, and masks `unchanged`, `changed` and `new`.

    Raises:
      FileExistsError: the folder exists and is not empty.
      ValueError: there is no image.
    """
    counts: Counter = collections.Counter()

    def noted(tables: side_tables.SideTables) -> Iterator[records.Record]:
        for one in found:
            if one.image is not None:
                tables.add(side_tables.IMAGES, one.image)
            for row in one.labels:
                tables.add(side_tables.LABELS, row)
            counts.update(['images', *['masks'] * len(one.states), *one.states])
            yield one.record

    with formats.published(out) as folder, side_tables.SideTables(folder) as tables:
        formats.fill(noted(tables), 'archives', folder, options)
    return counts
