"""What a user may choose about a build; imports nothing that a build alone needs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may choose about a build; see the builder's arguments."""

    on_error: str = 'fail'
    decode_images: bool = False
    shards_per_archive: int = 1
    digests: str | None = None

    def __post_init__(self):
        if self.on_error not in ('fail', 'skip'):
            raise ValueError(
                f"Builder: expected `on_error` to be 'fail' or 'skip'; got {self.on_error!r}."
            )
        if type(self.shards_per_archive) is not int or not 1 <= self.shards_per_archive <= 1000:
            raise ValueError(
                'Builder: expected `shards_per_archive` from 1 to 1000; got'
                f' {self.shards_per_archive!r}.'
            )
