"""Corrections of annotation tools, and data of one's own, as archives of SA-1B."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from segment_anything_tfds.actions import choosing, places
from segment_anything_tfds.exchange import options
from segment_anything_tfds.source import meter

if TYPE_CHECKING:
    from segment_anything_tfds.exchange import own_data


def import_data(
    path: choosing.Path,
    *,
    format: str,
    out: choosing.Path,
    images: choosing.Path | None = None,
    per_file: int = options.Options.per_file,
    first_number: int = 0,
    on_error: str = 'fail',
    on_fault: choosing.OnFault | None = None,
    progress: meter.Show = True,
) -> Counter:
    """Writes what an annotation tool has exported as archives of SA-1B: `sa1b import`.

    Masks that `export` wrote keep their ids, new ones get new ids, deleted ones are gone. Masks
    with other pixels than a model gave them have -1 for `predicted_iou` and `stability_score`.
    `images.csv` and `labels.csv` beside the archives hold names, licences, sources, labels and ids
    that archives cannot hold. The folder appears when it is whole.

    Args:
      path: a file of the format, or the folder with its files.
      format: a key of `export.options.READABLE`: `'coco'`, `'cvat'`, `'labelme'`, `'labelstudio'`.
      out: a folder to make, on this computer.
      images: where the images are; by default beside `path`, or in `images` or `data` there.
      per_file: images in each archive.
      first_number: number of the first archive.
      on_error: `'fail'` stops at the first image or mask that cannot be taken, `'skip'` leaves it
        out.
      on_fault: with `'skip'`, called with each fault.
      progress: whether and how to show progress: `True`, nothing, or a function that is called
        with a `Progress` in images.

    Returns:
      How many `images` and `masks` there are, and of the masks how many are `unchanged`, `changed`
      and `new`.

    Raises:
      FileNotFoundError: `path` does not exist.
      FileExistsError: the folder exists and is not empty.
      ValueError: an argument is malformed, or `path` holds nothing of the format.
      DataError: a file is malformed, or something in it cannot be taken; nothing is kept.
    """
    from segment_anything_tfds.exchange import imports

    choosing.one_of('format', format, options.READABLE)
    folder = places.local_folder('out', out)
    policy = choosing.Policy(on_error, on_fault)
    found = imports.read(path, format, images=images, on_fault=policy)
    shown = meter.track(found, 'import', progress=progress)
    return imports.write(shown, folder, options.Options(per_file, first_number))


def write(
    images: Iterable[own_data.Picture],
    masks: Iterable[own_data.Masks],
    out: choosing.Path,
    *,
    labels: Iterable[Sequence[str]] | None = None,
    license: str = '',
    source: str = '',
    per_file: int = options.Options.per_file,
    first_number: int = 0,
    on_error: str = 'fail',
    on_fault: choosing.OnFault | None = None,
    progress: meter.Show = None,
) -> int:
    """Writes images and masks of one's own as archives of SA-1B: `sa1b.records.write`.

    Args:
      images: image files, as paths or bytes, or arrays uint8 [H, W, 3] or [H, W]; may be a
        generator.
      masks: of each image its masks: an array [N, H, W], non-zero in each mask; an array [H, W]
        or a picture file, in which each value but 0 is a mask; or a sequence of arrays [H, W],
        picture files and COCO RLE, each of them one mask. An image without masks has an empty
        list. May be a generator.
      out: a folder to make, on this computer; it appears when it is whole.
      labels: of each image a label for each mask; they go into `labels.csv`.
      license, source: where the images come from, for `images.csv`.
      per_file: images in each archive.
      first_number: number of the first archive.
      on_error: `'fail'` stops at the first image or mask that cannot be taken, `'skip'` leaves it
        out.
      on_fault: with `'skip'`, called with each fault.
      progress: whether and how to show progress, as `sa1b.export`.

    Returns:
      How many images were written. Those called `sa_<id>` keep their numbers, others are numbered
      from 1 on, and so are the masks. Names are kept in `images.csv`. Masks have no scores: see
      `import_data`.

    Raises:
      FileExistsError: the folder exists and is not empty.
      ValueError: there are no images, or not as many as masks.
      DataError: an image or a mask cannot be taken; nothing is kept.

    Example:
      >>> import numpy as np, pathlib, tempfile
      >>> masks = np.zeros([1, 20, 30], np.uint8)
      >>> masks[0, 5:9, 7:20] = 1
      >>> image = np.full([20, 30, 3], 90, np.uint8)
      >>> write([image], [masks], pathlib.Path(tempfile.mkdtemp()) / 'mine')
      1
    """
    from segment_anything_tfds.exchange import imports, own_data

    folder = places.local_folder('out', out)
    policy = choosing.Policy(on_error, on_fault)
    found = own_data.read(
        images, masks, labels=labels, license=license, source=source, on_fault=policy
    )
    shown = meter.track(found, 'write', progress=progress)
    return imports.write(shown, folder, options.Options(per_file, first_number))['images']
