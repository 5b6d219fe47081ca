"""What is known of SA-1B as it was released, before anything of it is read."""

from __future__ import annotations

ARCHIVES = 1000
IMAGES = 11_185_362
PAIRS_AN_ARCHIVE = 11_186  # in every archive whose pairs were counted
DOWNLOAD_BYTES = int(10.28 * 2**40)
DATASET_BYTES = int(10.59 * 2**40)  # as TFDS writes it


def images(archives: int) -> list[int]:
    """Counts the images in each of so many archives.

    All archives together have 638 images less than 1,000 full ones; which archives lack them is not
    known, so the last one stands for those.

    Example:
      >>> sum(images(1000)), images(2)
      (11185362, [11186, 11186])
    """
    counts = [PAIRS_AN_ARCHIVE] * archives
    if archives == ARCHIVES:
        counts[-1] -= PAIRS_AN_ARCHIVE * ARCHIVES - IMAGES
    return counts


def share(total: int, archives: int) -> int:
    """Gives the bytes of so many archives, of bytes of all."""
    return total * archives // ARCHIVES
