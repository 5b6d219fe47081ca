"""The same records in other formats."""

from __future__ import annotations

import dataclasses

from segment_anything_tfds.actions import choosing, places
from segment_anything_tfds.exchange import formats, options, records
from segment_anything_tfds.source import label_table, meter


def export(
    paths: choosing.Paths,
    *,
    format: str,
    out: choosing.Path,
    archives: choosing.Archives = None,
    filter: str | None = None,
    limit: int | None = None,
    labels: label_table.Table | None = None,
    min_region: int = 0,
    on_error: str = 'fail',
    on_fault: choosing.OnFault | None = None,
    progress: meter.Show = True,
    **layout: int | str,
) -> int:
    """Writes records in another format; the output folder appears when it is whole.

    Masks are copied as they are, bit for bit; only `'yolo'` loses some of them.

    Args:
      paths: archives, folders of archives, extracted archives, or a prepared dataset.
      format: a key of `export.options.NAMES`, such as `'coco'` or `'webdataset'`.
      out: a folder to make, on this computer.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      filter: rules joined by commas, such as `'area>=1000, predicted_iou>0.9'`.
      limit: how many images to write at most.
      labels: a table of labels, CSV or Parquet, by annotation id; formats with categories have
        its `label` as such, and its columns are fields of `filter`.
      min_region: holes and islands of masks of fewer pixels are filled and removed first, as
        `coco_rle.remove_small_regions` does; by default masks stay as they are.
      on_error: `'fail'` stops at the first record that breaks a rule, `'skip'` leaves it out.
      on_fault: with `'skip'`, called with each fault.
      progress: whether and how to show progress: `True`, nothing, or a function that is called
        with a `Progress` in images.
      **layout: how the export is laid out, as in `export.options.Options`: `per_file` images in
        each file, `first_number` of the files, and for Label Studio the `image_url` before the
        names of images.

    Returns:
      How many images were written.

    Raises:
      FileNotFoundError: a path does not exist.
      FileExistsError: the folder exists and is not empty.
      ValueError: an argument is malformed; there are no records, or two of the same image.
      DataError: an archive is damaged, or a record breaks a rule; nothing is kept.
    """
    choosing.one_of('format', format, options.NAMES)
    known = {field.name for field in dataclasses.fields(options.Options)}
    if unknown := layout.keys() - known:
        raise TypeError(f'`export`: expected arguments such as {known}; got {unknown}')
    folder = places.local_folder('out', out)
    policy = choosing.Policy(on_error, on_fault)
    found = choosing.read(
        paths, policy, archives=archives, filter=filter, limit=limit, labels=labels
    )
    if min_region:
        found = (records.clean(record, min_region) for record in found)
    shown = meter.track(found, 'export', total=limit, progress=progress)
    return formats.write(shown, format, folder, options.Options(**layout))
