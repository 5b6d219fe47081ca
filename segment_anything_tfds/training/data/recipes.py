"""Recipes of published work, by name: `recipes.SAM`, or `recipes.get('sam', num_masks=32)`.

Each number has its source. Where a publication does not say, `Recipe`'s default stands. A recipe
describes the data, the prompts of each round and the loss:

    model = training.PromptableSegmenter(segmenter, **recipe.model_options)
    model.compile('adamw', loss=recipe.loss)

Optimisers and schedules stay with the publications.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from segment_anything_tfds.training.data.recipe import Recipe

SAM = Recipe(
    image_size=1024,
    mask_size=256,
    num_masks=64,
    resize='longest',
    max_area_fraction=0.9,
    point_probability=0.5,
    box_probability=0.5,
    num_points=(1, 1),
    box_jitter=0.1,
    box_jitter_pixels=20.0,
    box_jitter_distribution='normal',
    corrections=8,
    refine=True,
)
"""Segment Anything (Kirillov et al. 2023), appendix A, "training algorithm" and "training recipe".

1024 x 1024 input, rescaled and padded; up to 64 randomly sampled masks; masks that cover more than
90 % of the image are discarded; "with equal probability either a foreground point or bounding box";
points uniform in the mask; noise on each box coordinate "with standard deviation equal to 10% of
the box sidelength, to a maximum of 20 pixels"; 8 iteratively sampled points and "two more
iterations where no additional points are sampled", 11 in all with the first prompt; no data
augmentation on SA-1B. The 64 masks are "per GPU", with one image on each of 256. Masks of 256 x 256
are what the decoder gives. Focal and dice loss "in a 20:1 ratio", the IoU's squared error with a
factor of 1.0, the least of the outputs' losses.
"""

SAM_JITTER = dataclasses.replace(SAM, scale_range=(0.1, 2.0))
"""SAM with the augmentation of its data engine's first two stages.

"We augment the input with large-scale jitter with a scale range of [0.1, 2.0]" (appendix A).
"""

SAM2_IMAGE = dataclasses.replace(
    SAM,
    resize='square',
    flip_probability=0.5,
    box_jitter_distribution='uniform',
    corrections=7,
    refine=False,
    prompt_layout='sam2',
    iou_error='absolute',
    supervise_all_ious=True,
)
"""SAM 2 (Ravi et al. 2024), the pre-training on SA-1B, appendix "training" and its table.

Resolution 1024, "hflip, resize to 1024 (square)", at most 64 masks an image, masks over 90 % of the
image filtered, 7 correction points, no rounds without a click; "other settings not mentioned here
follow" SAM, such as points and boxes equally often. Box noise uniform within 10 % and 20 pixels,
from `sample_box_points` in `sam2/modeling/sam2_utils.py`; the flip's probability of 0.5 from
`RandomHorizontalFlip` in `training/dataset/transforms.py`. A padding token ends every prompt, boxes
too (`_embed_points` of `sam2/modeling/sam/prompt_encoder.py`). The loss is SAM's but for the IoU
head, which learns the absolute error of all outputs (`iou_use_l1_loss` and `supervise_all_iou` in
`sam2/configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml`). Loss and correction clicks are
taken at 1024 x 1024 there (`multistep_pred_multimasks_high_res`), here at 256 x 256:
`mask_size=1024` does as they do. SAM 2's IoU head ends in a sigmoid, KerasHub's SAM's does not. The
10 % of correction clicks that are drawn from the true mask belong to the later training on videos.
"""

EDGE_SAM = Recipe(
    image_size=1024,
    mask_size=256,
    num_masks=16,
    resize='longest',
    point_probability=0.5,
    box_probability=0.5,
    stored_point_probability=1.0,
    box_jitter=0.0,
    corrections=1,
    focal_weight=0.0,
    bce_weight=5.0,
    dice_weight=5.0,
    iou_weight=0.0,
)
"""EdgeSAM (Zhou et al. 2023), prompt-in-the-loop distillation, the second of its two stages.

From `training/configs/rep_vit_m1_fuse_enc_dec_4m_ft_bp_iter2b_sa_distill.yaml` (IMG_SIZE 1024,
MAX_ALLOWED_PROMPTS 16, PROMPT_TYPE box and point, DECODE_ITERS 2 with one point a refinement, also
on boxes, DECODER_BCE 5, DECODER_DICE 5, MULTIMASK_OUTPUT 4), `edge_sam/config.py` (no box jitter,
no mask NMS, no area filter), `training/data/sa1b_dataset.py` (the stored `point_coords`, longest
side, padding) and `training/train.py` (padding left out of the loss, no IoU term).

The targets there are the teacher's four masks, each output learning its own: give `fit` masks of
[B, K, 4, h, w] from a teacher, as `model.decode(...)['masks'] > 0`. With the dataset's masks the
output of the least loss learns. There the losses of the two rounds are averaged, here added; box or
point is drawn once a batch, here once a mask; masks beyond 16 with replacement, here without; the
refining round sees clicks only, here the logits too. The prompt encoder is frozen and the decoder
starts from the teacher's; the first stage, in which the image encoder learns the teacher's
embeddings (squared error on pixels of the image), has no prompts and no recipe.
"""

EFFICIENTVIT_SAM = Recipe(
    image_size=512,
    mask_size=128,
    num_masks=64,
    resize='longest',
    flip_probability=0.5,
    point_probability=0.5,
    box_probability=0.5,
    num_points=(1, 10),
    box_jitter=0.0,
    corrections=0,
    multimask='coin_flip',
    focal_weight=0.0,
    bce_weight=20.0,
    dice_weight=1.0,
    iou_weight=0.0,
)
"""EfficientViT-SAM (Zhang et al. 2024), end-to-end training on SA-1B.

From `applications/efficientvit_sam/configs/default.yaml` (64 masks), its README (512 x 512 for l0,
l1 and l2; 1024 for xl0 and xl1), `efficientvit/samcore/data_provider` (flip with probability 0.5,
longest side, padding, 64 of the masks at random) and `efficientvit/samcore/trainer/sam_trainer.py`
(box or points with probability 0.5, 1 to 10 points uniform in the mask, no jitter; several outputs
or one, as a coin falls for each step, whatever the prompt; 20 x cross-entropy + dice, the least of
the outputs', no IoU term).

The loss there is taken at the image's resolution, on 112 x 112 points drawn mostly where the logits
are near 0 (`loss_masks` in `trainer/utils.py`), here on all pixels of the decoder's;
`mask_size=512` takes those of the image. There fewer than 64 masks are repeated, here padded as
invalid; box or points is drawn once an image, here once a mask; padding counts there, here it does
not.
"""

_BY_NAME = {
    'sam': SAM,
    'sam_jitter': SAM_JITTER,
    'sam2_image': SAM2_IMAGE,
    'edge_sam': EDGE_SAM,
    'efficientvit_sam': EFFICIENTVIT_SAM,
}
NAMES = tuple(_BY_NAME)


def get(name: str, **changes: Any) -> Recipe:
    """Gives a published recipe, with fields changed as wished.

    Args:
      name: one of `NAMES`.
      **changes: fields of `Recipe`.

    Returns:
      A `Recipe`.

    Raises:
      ValueError: an unknown name, or a field that breaks its rule.

    Example:
      >>> get('sam', num_masks=8).max_area_fraction
      0.9
    """
    if name not in _BY_NAME:
        raise ValueError(
            f'recipes.get: expected `name` one of {NAMES}; got {name!r}. Choose one, or make '
            'a `Recipe` of your own.'
        )
    return dataclasses.replace(_BY_NAME[name], **changes)
