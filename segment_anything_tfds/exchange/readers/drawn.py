"""Images with the masks that people have drawn or corrected, as a tool's files give them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from segment_anything_tfds.source import faults
from segment_anything_tfds.source.record import coco_rle

OnFault = Callable[[faults.Fault], object]


class Refused(ValueError):
    """Something in a file that cannot be taken; `reason` is a slug of `reasons.REASONS`."""

    def __init__(self, reason: str, detail: str):
        self.reason = reason
        super().__init__(detail)


@dataclasses.dataclass(frozen=True)
class Mask:
    """One mask.

    Attributes:
      counts: compressed RLE, of the size of its image; or row-major runs of a crop of the image,
        which the import turns together with those of the image's other masks.
      label: what it is called; `''` where it has no name, or SA-1B's `object`.
      fields: of `carried.pack`, as far as the tool has kept them; `{}` for a new mask.
      where: the element that it stands in, for faults.
      original_id: its id in the file, where that is not one of SA-1B's.
      is_crowd: whether it stands for several objects at once.
    """

    counts: bytes | coco_rle.RowRuns = dataclasses.field(repr=False)
    label: str = ''
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = ''
    original_id: int | None = None
    is_crowd: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
      file_name: as the tool has it, perhaps with folders.
      size: (height, width) that the masks have; None where there is none to tell.
      masks: in the order of the file.
      where: the element that it stands in, for faults.
      image_id: its id in the file, where that is a number.
      content: the image itself, where the file holds it.
      license, license_url, source: what the file says of where it comes from.
    """

    file_name: str
    size: tuple[int, int] | None
    masks: list[Mask]
    where: str
    image_id: int | None = None
    content: bytes | None = dataclasses.field(default=None, repr=False)
    license: str = ''
    license_url: str = ''
    source: str = ''


class Report:
    """Turns what is refused into faults that name the file and the element."""

    def __init__(self, file_name: str, on_fault: OnFault):
        self.file_name, self._on_fault = file_name, on_fault

    @contextlib.contextmanager
    def element(self, where: str) -> Iterator[None]:
        """Ends the block early, with a report, where its element is refused."""
        try:
            yield
        except Refused as error:
            self.refuse(error.reason, str(error), where)
        except faults.DataError:
            raise
        except ValueError as error:
            self.refuse('import_invalid', str(error), where)

    def refuse(self, reason: str, detail: str, where: str) -> None:
        """Reports what cannot be taken."""
        self._on_fault(faults.Fault(self.file_name, reason, detail, where))

    def broken(self, detail: str, where: str | None = None) -> faults.DataError:
        """Makes the error for a file that cannot be read on."""
        return faults.DataError([faults.Fault(self.file_name, 'import_invalid', detail, where)])
