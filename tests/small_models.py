"""A small SAM for tests that train: built once a process, and then as new for each test.

Building one takes longer than most of these tests do. A model that is wrapped around what `as_new`
gave before is not to be used any more, nor may a test change its layers, as LoRA does.
"""

import functools

import keras
import numpy as np

from segment_anything_tfds.training.sam import architecture


@functools.cache
def _built(image_size):
    import keras_hub

    sizes = architecture.Sizes(
        image_size=image_size,
        encoder_dim=16,
        encoder_layers=1,
        encoder_heads=4,
        encoder_mlp_dim=64,
        window_size=image_size // architecture.PATCH,
        global_layers=(0,),
        dim=16,
        mask_channels=16,
        decoder_layers=1,  # two, as others have, take nearly twice as long to trace
        decoder_mlp_dim=64,
        outputs=4,
        iou_depth=3,
        iou_dim=16,
    )
    backbone = architecture.build(sizes)
    segmenter = keras_hub.models.SAMImageSegmenter(backbone=backbone)
    parts = (backbone.image_encoder, backbone.prompt_encoder, backbone.mask_decoder)
    variables = [variable for part in parts for variable in part.variables]
    return segmenter, [(v, np.array(keras.ops.convert_to_numpy(v))) for v in variables]


def as_new(image_size):
    """A segmenter with the weights that it had when it was built, equal ones in every process."""
    keras.utils.set_random_seed(4)
    segmenter, first = _built(image_size)
    for variable, value in first:
        variable.assign(value)
    return segmenter
