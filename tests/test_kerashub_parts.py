"""What this package uses of KerasHub's SAM beyond its public interface, name by name.

A test here that fails with a new release of KerasHub says what has to be looked at.
"""

import re
import warnings

import pytest
import small_models
from building import REPO

from segment_anything_tfds.training.sam import kerashub

keras_hub = pytest.importorskip('keras_hub')

PACKAGE = REPO / 'segment_anything_tfds'
# Two run the layers, one names their weights.
MODULES = {'kerashub.py', 'global_attention.py', 'meta_names.py'}
ATTENTION = ('query_proj', 'key_proj', 'value_proj', 'out_proj', 'num_heads')
# Public, as arguments of the layers.
ARGUMENTS = {
    'input_image_size',
    'image_embedding_size',
    'window_size',
    'num_heads',
    'key_dim',
    'use_rel_pos',
}
# Where the parts are in a backbone; of layers of one kind, the first.
PARTS = {
    'image_encoder': ('layers', 'neck'),
    'image_encoder.layers[3]': (
        'attention',
        'layer_norm1',
        'layer_norm2',
        'mlp_block',
        'window_size',
    ),
    'image_encoder.layers[3].attention': (
        'qkv',
        'projection',
        'add_decomposed_relative_pe',
        'num_heads',
        'key_dim',
        'scale',
        'use_rel_pos',
    ),
    'prompt_encoder': (
        'positional_embedding_layer',
        'background_point_embed',
        'foreground_point_embed',
        'top_left_corner_embed',
        'bottom_right_corner_embed',
        'not_a_point_embed',
        'no_mask_embed',
        'mask_downscaler',
        'input_image_size',
        'image_embedding_size',
    ),
    'prompt_encoder.positional_embedding_layer': ('positional_encoding_gaussian_matrix',),
    'prompt_encoder.no_mask_embed': ('embeddings',),
    'mask_decoder': (
        'transformer',
        'iou_token',
        'mask_tokens',
        'output_upscaling',
        'output_hypernetworks_mlps',
        'iou_prediction_head',
    ),
    'mask_decoder.transformer': (
        'layers',
        'num_heads',
        'final_attention_token_to_image',
        'final_layer_norm',
    ),
    'mask_decoder.transformer.layers[0]': (
        'skip_first_layer_pos_embedding',
        'self_attention',
        'cross_attention_token_to_image',
        'cross_attention_image_to_token',
        'layer_norm1',
        'layer_norm2',
        'layer_norm3',
        'layer_norm4',
        'mlp_block',
    ),
    'mask_decoder.transformer.layers[0].self_attention': ATTENTION,
    'mask_decoder.transformer.final_attention_token_to_image': ATTENTION,
}


@pytest.fixture(scope='module')
def backbone():
    return small_models.as_new(64).backbone


def _at(backbone, path: str):
    """The part at a path such as `a.layers[0].b`."""
    for name in re.findall(r'\w+', path):
        backbone = backbone[int(name)] if name.isdecimal() else getattr(backbone, name)
    return backbone


@pytest.mark.parametrize('path', PARTS)
def test_parts_that_are_used(backbone, path):
    part = _at(backbone, path)
    assert not [name for name in PARTS[path] if not hasattr(part, name)]


def test_private_parts_are_in_few_modules():
    private = {
        name
        for path, names in PARTS.items()
        if path != 'image_encoder' and 'transformer' not in path
        for name in names
        if '_' in name and name not in ARGUMENTS
    }
    for path in PACKAGE.rglob('*.py'):
        if path.name not in MODULES:
            assert not set(re.findall(r'\.(\w+)', path.read_text())) & private, path


@pytest.mark.parametrize('version', ['0.33.0', '0.33.0.dev0', '1.0.0'])
def test_newer_minor_is_warned_of(version, monkeypatch):
    monkeypatch.setattr(keras_hub, '__version__', version)
    with pytest.warns(UserWarning, match=rf'up to 0\.32; found {version}.*keras-hub==0\.32\.\*'):
        kerashub.check_version()


@pytest.mark.parametrize('version', ['0.19.3', '0.32.0', '0.32.9'])
def test_older_minor_is_not_warned_of(version, monkeypatch):
    monkeypatch.setattr(keras_hub, '__version__', version)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        kerashub.check_version()
