"""Every reason for which an archive, an image or an annotation can be left out, in one table."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reason:
    """What a reason means.

    Attributes:
      level: what is left out: `'archive'` (the rest of it), `'image'` or `'annotation'`.
      description: the rule that was broken.
    """

    level: str
    description: str


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
            'archive_digest': 'The MD5 of the archive is the one that is listed for it.',
            'archive_bomb': 'The compressed stream does not expand beyond measure.',
            'unfinished': 'Reading the archive ended without an error of another kind.',
        },
    ),
    **_table(
        'image',
        {
            'record_missing': 'Every JPEG has a JSON file of the same name.',
            'image_missing': 'Every JSON file has a JPEG of the same name.',
            'member_duplicate': 'No two files of an archive have the same name.',
            'member_too_large': 'JPEGs and JSON files are of a sane size.',
            'duplicate_image_id': 'Every `image_id` occurs once in an archive.',
            'json_invalid': 'The JSON file parses.',
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
}
