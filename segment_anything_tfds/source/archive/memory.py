"""Memory for blocks of the size of images."""

from __future__ import annotations

import functools

_LARGE_BLOCK = 31 << 20  # just below the largest that malloc learns from


@functools.cache  # once in a process
def keep() -> None:
    """Makes glibc's malloc use memory of the size of images again, instead of asking for it anew.

    From the first block that is freed malloc learns which sizes come and go, and keeps blocks up to
    that size (mallopt(3), M_MMAP_THRESHOLD). Until then each image, at each of the steps from the
    archive to the shard or the batch, is in pages that the kernel has to clear first, which takes
    longer than to copy the image. Other implementations of malloc take no notice.
    """
    bytearray(_LARGE_BLOCK)
