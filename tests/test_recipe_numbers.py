"""The numbers of published recipes against a table that carries their sources."""

import pytest

from segment_anything_tfds import training

_SAM = 'Kirillov et al. 2023, appendix A'
_SAM2 = 'facebookresearch/sam2 training/'
_YAML = 'facebookresearch/sam2 sam2/configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml'
_EDGE = 'EdgeSAM training/configs/rep_vit_m1_fuse_enc_dec_4m_ft_bp_iter2b_sa_distill.yaml'
_VIT = 'efficientvit/samcore/trainer/sam_trainer.py'
TABLE = [
    ('sam', 'image_size', 1024, _SAM),
    ('sam', 'resize', 'longest', _SAM),
    ('sam', 'num_masks', 64, _SAM),
    ('sam', 'max_area_fraction', 0.9, _SAM),
    ('sam', 'flip_probability', 0.0, _SAM + ': no augmentation'),
    ('sam', 'scale_range', None, _SAM + ': no augmentation'),
    ('sam', 'point_probability', 0.5, _SAM),
    ('sam', 'box_probability', 0.5, _SAM),
    ('sam', 'num_points', (1, 1), _SAM),
    ('sam', 'box_jitter', 0.1, _SAM),
    ('sam', 'box_jitter_pixels', 20.0, _SAM),
    ('sam', 'box_jitter_distribution', 'normal', _SAM),
    ('sam', 'corrections', 8, _SAM),
    ('sam', 'refine', True, _SAM),
    ('sam', 'focal_weight', 20.0, _SAM),
    ('sam', 'dice_weight', 1.0, _SAM),
    ('sam', 'iou_weight', 1.0, _SAM),
    ('sam', 'iou_error', 'squared', _SAM),
    ('sam_jitter', 'scale_range', (0.1, 2.0), _SAM),
    ('sam_jitter', 'box_jitter', 0.1, _SAM),
    ('sam2_image', 'resize', 'square', 'Ravi et al. 2024, table of training'),
    ('sam2_image', 'flip_probability', 0.5, _SAM2 + 'dataset/transforms.py, RandomHorizontalFlip'),
    ('sam2_image', 'box_jitter', 0.1, 'sam2/modeling/sam2_utils.py, sample_box_points'),
    ('sam2_image', 'box_jitter_pixels', 20.0, 'sam2/modeling/sam2_utils.py, sample_box_points'),
    ('sam2_image', 'box_jitter_distribution', 'uniform', 'sam2/modeling/sam2_utils.py'),
    ('sam2_image', 'corrections', 7, 'Ravi et al. 2024'),
    ('sam2_image', 'refine', False, _SAM2 + 'model/sam2.py'),
    ('sam2_image', 'prompt_layout', 'sam2', 'sam2/modeling/sam/prompt_encoder.py'),
    ('sam2_image', 'iou_error', 'absolute', _YAML + ', iou_use_l1_loss'),
    ('sam2_image', 'supervise_all_ious', True, _YAML + ', supervise_all_iou'),
    ('sam2_image', 'focal_weight', 20.0, _YAML + ', loss_mask'),
    ('sam2_image', 'dice_weight', 1.0, _YAML + ', loss_dice'),
    ('edge_sam', 'image_size', 1024, _EDGE),
    ('edge_sam', 'num_masks', 16, _EDGE + ', MAX_ALLOWED_PROMPTS'),
    ('edge_sam', 'corrections', 1, _EDGE + ', DECODE_ITERS 2'),
    ('edge_sam', 'stored_point_probability', 1.0, 'EdgeSAM training/data/sa1b_dataset.py'),
    ('edge_sam', 'box_jitter', 0.0, 'edge_sam/config.py'),
    ('edge_sam', 'focal_weight', 0.0, _EDGE),
    ('edge_sam', 'bce_weight', 5.0, _EDGE + ', DECODER_BCE'),
    ('edge_sam', 'dice_weight', 5.0, _EDGE + ', DECODER_DICE'),
    ('edge_sam', 'iou_weight', 0.0, _EDGE),
    ('efficientvit_sam', 'image_size', 512, 'applications/efficientvit_sam/README.md, l0 to l2'),
    ('efficientvit_sam', 'num_masks', 64, 'applications/efficientvit_sam/configs/default.yaml'),
    ('efficientvit_sam', 'flip_probability', 0.5, 'efficientvit/samcore/data_provider/sam.py'),
    ('efficientvit_sam', 'point_probability', 0.5, _VIT),
    ('efficientvit_sam', 'box_probability', 0.5, _VIT),
    ('efficientvit_sam', 'num_points', (1, 10), _VIT),
    ('efficientvit_sam', 'box_jitter', 0.0, _VIT),
    ('efficientvit_sam', 'multimask', 'coin_flip', _VIT),
    ('efficientvit_sam', 'focal_weight', 0.0, _VIT),
    ('efficientvit_sam', 'bce_weight', 20.0, _VIT),
    ('efficientvit_sam', 'dice_weight', 1.0, _VIT),
    ('efficientvit_sam', 'iou_weight', 0.0, _VIT),
]


@pytest.mark.parametrize(('recipe', 'field', 'value', 'source'), TABLE)
def test_numbers_are_those_of_the_source(recipe, field, value, source):
    assert getattr(training.recipes.get(recipe), field) == value, source


def test_a_recipe_gives_its_loss_and_the_models_options():
    pytest.importorskip('keras')
    loss = training.recipes.get('sam2_image').loss
    assert (loss.iou_error, loss.supervise_all_ious, loss.focal_weight) == ('absolute', True, 20)
    loss = training.recipes.get('edge_sam').loss
    assert (loss.focal_weight, loss.bce_weight, loss.dice_weight, loss.iou_weight) == (0, 5, 5, 0)
    options = training.recipes.get('efficientvit_sam').model_options
    assert options == {
        'corrections': 0,
        'refine': False,
        'prompt_layout': 'sam',
        'multimask': 'coin_flip',
    }
