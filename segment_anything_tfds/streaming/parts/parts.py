"""What a stream reads: one part an archive, from its prepared shards or from the archive itself."""

from __future__ import annotations

import dataclasses

from segment_anything_tfds.source import checksums as checksums_lib
from segment_anything_tfds.source import selection
from segment_anything_tfds.source.archive import locations
from segment_anything_tfds.streaming.parts import fault_report


@dataclasses.dataclass(frozen=True)
class Part:
    """The examples of one archive, and where they are.

    Attributes:
      number: number of the archive.
      source: the archive; `None` where it is prepared.
      shards: paths of its prepared shards; example i is in shard i modulo their number.
      examples: how many there are in each of these.
      file_format: TFDS's name of their format.
    """

    number: int
    source: locations.Source | None = None
    shards: tuple[str, ...] = ()
    examples: tuple[int, ...] = ()
    file_format: str = 'tfrecord'

    @property
    def name(self) -> str:
        """Name of the archive, such as `'sa_000020'`."""
        return selection.archive_name(self.number)


@dataclasses.dataclass(frozen=True)
class Policy:
    """How archives are read.

    Attributes:
      on_error: `'fail'` or `'skip'`, as in a build.
      decode_images: whether to decode every JPEG fully.
      checksums: digests that archives are compared with.
      links_path: the links file, where links are looked up when they are needed.
      link_wait: seconds to wait for a renewed links file.
      report: where faults go.
    """

    on_error: str
    decode_images: bool
    checksums: checksums_lib.Checksums
    links_path: str
    link_wait: float
    report: fault_report.FaultReport
