"""Every reason for which an archive, an image or an annotation can be left out, in one table."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reason:
    """What a reason means.

    Attributes:
      level: what is left out: `'whole archive'`, `'archive'` (the rest of it), `'image'`,
        `'picture'` (one to be annotated), `'import'` (an image or a mask that an annotation tool
        wrote) or `'annotation'`; or `'run'`: the archive waits for the next run, in either mode.
      description: the rule that was broken.
    """

    level: str
    description: str


# What a truncated or damaged archive brings with it: not worth a line for each.
CONSEQUENCES = ('record_missing', 'image_missing')


def is_root(reason: str) -> bool:
    """Tells whether a fault is one of a whole archive, which may be the cause of others in it."""
    return reason in REASONS and REASONS[reason].level in ('whole archive', 'archive', 'run')


def _table(level: str, rules: dict[str, str]) -> dict[str, Reason]:
    return {slug: Reason(level, description) for slug, description in rules.items()}


REASONS: dict[str, Reason] = {
    **_table(
        'archive',
        {
            'archive_empty': 'An archive has at least one image with its record.',
            'archive_not_tar': 'An archive is a tar, plain or in gzip.',
            'archive_header': 'The headers of the tar are well formed.',
            'archive_truncated': 'The archive ends with its end marker.',
            'archive_corrupt': 'The compressed stream is whole, and its checksum right.',
            'archive_trailing_data': 'Nothing follows the end of the archive.',
            'archive_bomb': 'The compressed stream does not expand beyond measure.',
        },
    ),
    **_table(
        'whole archive',
        {
            'archive_digest': (
                'The MD5 of the archive is the one in your list (`digests`), and not that of a copy'
                ' that is known to be corrupt.'
            )
        },
    ),
    **_table('run', {'unfinished': 'The archive could be fetched, and its shard be written.'}),
    **_table(
        'image',
        {
            'record_missing': 'Every JPEG has a JSON file of the same name.',
            'image_missing': 'Every JSON file has a JPEG of the same name.',
            'member_duplicate': 'No two files of an archive have the same name.',
            'member_link': 'JPEGs and JSON files are files, not symbolic or hard links.',
            'member_unreadable': 'They are plain files, whose names stay within the archive.',
            'member_too_large': 'A JPEG has at most 64 MiB, a JSON file at most 16 MiB.',
            'image_id_duplicate': 'Every `image_id` occurs once in an archive.',
            'json_invalid': 'The JSON file parses.',
            'record_too_large': 'The JSON has at most 10,000 annotations and 1,000,000 values.',
            'record_keys': 'The JSON has `image` and `annotations` with their documented keys.',
            'image_invalid': '`image_id`, `width` and `height` are integers, `file_name` a string.',
            'image_size_invalid': '`height` and `width` are at least 1.',
            'file_name_mismatch': '`file_name` is the name of the JPEG in the archive.',
            'image_size_mismatch': '`height` and `width` are those of the JPEG.',
            'jpeg_invalid': 'The image starts as a JPEG, and its headers are well formed.',
            'jpeg_unsupported': 'The JPEG is baseline or progressive, 8 bits, 1, 3 or 4 channels.',
            'jpeg_truncated': 'The JPEG ends with its end marker.',
            'jpeg_undecodable': 'The pixels decode (checked on request only).',
        },
    ),
    **_table(
        'picture',
        {
            'picture_unreadable': 'The file can be read.',
            'picture_unknown': 'The file is a picture of a format that Pillow reads.',
            'picture_damaged': 'The picture decodes, to its end.',
            'picture_animated': 'The file holds one picture: no animation, no pages.',
            'picture_depth': 'A channel has 8 or 16 bits.',
            'picture_too_large': 'The picture is of a size that can be handled.',
            'masks_not_finite': 'The model gives numbers for it: no NaN, nothing infinite.',
        },
    ),
    **_table(
        'annotation',
        {
            'annotation_keys': 'An annotation has exactly the eight documented keys.',
            'id_invalid': '`id` is an integer from 0 to 2^64 - 1.',
            'id_duplicate': 'Every `id` occurs once in an image.',
            'area_invalid': '`area` is an integer from 0 to 2^64 - 1.',
            'area_mismatch': '`area` is the number of pixels of the mask.',
            'bbox_invalid': '`bbox` is four finite numbers [x, y, width, height].',
            'bbox_outside': '`bbox` lies within the image and has no negative side.',
            'crop_box_invalid': '`crop_box` is four finite numbers [x, y, width, height].',
            'crop_box_outside': '`crop_box` lies within the image and has no negative side.',
            'point_coords_invalid': '`point_coords` is one point of two finite numbers [[x, y]].',
            'predicted_iou_invalid': '`predicted_iou` is a finite number.',
            'stability_score_invalid': '`stability_score` is a finite number.',
            'segmentation_invalid': '`segmentation` is an object of `size` and `counts`.',
            'segmentation_size_mismatch': '`size` is [height, width] of the image.',
            'rle_uncompressed': '`counts` is a compressed string, not a list of runs.',
            'rle_character': 'Characters of `counts` lie within 48 and 111.',
            'rle_unfinished': '`counts` is not empty and ends with the end of a number.',
            'rle_overflow': 'Numbers in `counts` have at most 7 characters, runs are below 2^32.',
            'rle_negative_run': 'No run is negative.',
            'rle_sum_mismatch': 'The runs sum to height x width.',
        },
    ),
    **_table(
        'import',
        {
            'import_invalid': 'Files of annotation tools have their documented elements and types.',
            'import_size_mismatch': 'Masks, crops and polygons fit their image.',
            'import_unsupported': 'A shape is a mask, a brush, a bitmask or a polygon.',
            'import_duplicate': 'Images and ids occur once.',
            'import_image': 'The image is there, and can be read.',
            'import_path_outside': 'Names of images lead nowhere outside their folder.',
        },
    ),
}
_INTRODUCTION = """\
With `on_error='fail'` (the default) an archive with any of these faults fails, and one error at the
end lists them all. With `on_error='skip'` what has a fault is left out, written to a report with
archive, member and annotation, and counted by its reason. An annotation is left out at the first
rule that it breaks, in the order of this table.

In the error, faults of whole archives come first, since they are the cause of others: images and
records that a truncated archive lacks are counted beside it, not listed.

Whatever a record holds, to check it takes at most 0.4 GB of memory: one that has too many values
(braces, brackets, commas and colons are counted; SA-1B has about 3,500 an image) is refused before
it is parsed. Of each record the first 100 faults are listed; one more line for each reason says in
its `count` how many annotations break it besides."""
_CONSEQUENCES = {
    'whole archive': 'The whole archive is left out',
    'archive': 'The rest of the archive is left out',
    'image': 'The image is left out',
    'annotation': 'The annotation is left out',
    'picture': 'The picture is left out (`sa1b annotate`)',
    'import': 'The image or the mask is not imported (`sa1b import`)',
    'run': 'The archive waits for the next run, whatever `on_error` says',
}


def to_markdown() -> str:
    """Gives the table for the documentation, one section a level."""
    lines = ['# What can be wrong with the data', '', _INTRODUCTION]
    for level, consequence in _CONSEQUENCES.items():
        lines += ['', f'## {consequence}', '', '| reason | rule that was broken |', '|---|---|']
        lines += [
            f'| `{slug}` | {r.description} |' for slug, r in REASONS.items() if r.level == level
        ]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    print(to_markdown(), end='')
