"""Checkpoints from and to PyTorch's files: bit-equal, without running pickles, refused by name."""

import io
import pathlib
import pickle
import time
import zipfile

import numpy as np
import pytest
from meta_reference import meta  # noqa: F401  (a fixture)

from segment_anything_tfds import training
from segment_anything_tfds.training import checkpoints
from segment_anything_tfds.training.sam import meta_names, weight_files

pytest.importorskip('keras_hub')
torch = pytest.importorskip('torch')

_IMAGE = np.random.default_rng(3).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
_CLICK = {
    'point_coords': np.array([[[[20.0, 31.0]]]], np.float32),
    'point_labels': np.ones((1, 1, 1), np.int32),
}


@pytest.fixture(scope='module')
def model():
    return training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))


@pytest.fixture(scope='module')
def state(model, tmp_path_factory):
    """The model's weights as PyTorch reads them from the file that we write."""
    path = tmp_path_factory.mktemp('state') / 'sam.pth'
    checkpoints.save(model, path)
    return torch.load(path, weights_only=True)


def _logits(model):
    return np.asarray(model.decode(model.encode(_IMAGE), _CLICK)['masks'])


def _equal(model, other):
    pairs = zip(model.weights, other.weights, strict=True)
    return all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs if a.dtype == 'float32')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_round_trip_is_bit_equal(model, tmp_path, monkeypatch, suffix):
    checkpoints.save(model, tmp_path / f'sam{suffix}')
    again = checkpoints.load(tmp_path / f'sam{suffix}')
    assert _equal(model.backbone, again.backbone)
    np.testing.assert_array_equal(_logits(model), _logits(again))
    assert [path.name for path in tmp_path.iterdir()] == [f'sam{suffix}']
    monkeypatch.setattr(time, 'time', lambda: 2e9)
    checkpoints.save(again, tmp_path / f'again{suffix}')
    files = [(tmp_path / f'{name}{suffix}').read_bytes() for name in ('sam', 'again')]
    assert files[0] == files[1]


def test_options_are_those_of_the_model(model, tmp_path):
    checkpoints.save(model, tmp_path / 'sam.pth')
    assert checkpoints.load(tmp_path / 'sam.pth', corrections=3, refine=True).corrections == 3
    with pytest.raises(ValueError, match=r"expected `prompt_layout` one of .*; got 'sam3'"):
        checkpoints.load(tmp_path / 'sam.pth', prompt_layout='sam3')


@pytest.mark.parametrize(
    'change',
    [
        lambda state: {'model': state, 'epoch': 3, 'args': io.StringIO.__name__, 'lr': [1e-3]},
        lambda state: {'state_dict': {key: torch.nn.Parameter(v) for key, v in state.items()}},
        lambda state: {key: v.T.contiguous().T if v.ndim == 2 else v for key, v in state.items()},
        lambda state: {key: v.double() for key, v in state.items()},
        lambda state: {'model': state, 'seen': {1, 2}, 'fixed': frozenset('a'), 'none': set()},
        lambda state: {'model': {**state, 'counts': torch.ones(2, dtype=torch.int8)}},
    ],
)
@pytest.mark.parametrize('protocol', [2, 4])
def test_what_people_save_is_read(model, state, tmp_path, change, protocol):
    torch.save(change(state), tmp_path / 'sam.pth', pickle_protocol=protocol)
    assert _equal(model.backbone, checkpoints.load(tmp_path / 'sam.pth').backbone)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_half_precision_is_read(state, tmp_path, dtype, suffix):
    path, halves = tmp_path / f'sam{suffix}', {key: v.to(dtype) for key, v in state.items()}
    if suffix == '.pth':
        torch.save(halves, path)
    else:
        pytest.importorskip('safetensors.torch').save_file(halves, path)
    checkpoints.save(checkpoints.load(path), tmp_path / 'again.pth')
    again = torch.load(tmp_path / 'again.pth')
    assert all(torch.equal(halves[key].float(), again[key]) for key in state)


def _renamed(state, old, new):
    return {key.replace(old, new): value for key, value in state.items()}


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda s: _renamed(s, 'image_encoder.', 'image_encoder.trunk.'), 'SAM 2, another'),
        (lambda s: _renamed(s, 'image_encoder.', 'image_encoder.layers.'), 'MobileSAM'),
        (lambda s: _renamed(s, 'image_encoder.', 'vision_encoder.'), 'transformers library'),
        (lambda s: {**s, 'mask_decoder.hf_token.weight': torch.zeros(1, 16)}, 'HQ-SAM'),
        (lambda s: {**s, 'adapter': torch.zeros(1)}, r'with the unknown adapter \(1 in all\)'),
        (
            lambda s: {k: s[k] for k in s if 'decoder.output_upscaling.0' not in k},
            r'without mask_decoder.*\(2 in all\)',
        ),
        (lambda s: {**s, 'mask_decoder.iou_token.weight': torch.zeros(2, 16)}, r'\[2, 16\] where'),
        (lambda s: {**s, 'image_encoder.pos_embed': torch.zeros(1, 197, 16)}, 'do not fit'),
        (lambda s: {'weight': torch.zeros(3)}, 'no tensor image_encoder.pos_embed'),
        (lambda s: [1, 2], 'a pickled list, no state dict'),
        (lambda s: torch.nn.Linear(1, 1), r'a pickled torch\.nn.*Linear\. Save its state_dict'),
    ],
)
def test_other_models_are_refused_by_name(state, tmp_path, change, says):
    torch.save(change(state), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'expected `path` of a check.*x\.pth: .*{says}'):
        checkpoints.load(tmp_path / 'x.pth')


def test_other_files_are_refused(state, tmp_path):
    path = tmp_path / 'x.pth'
    with pytest.raises(FileNotFoundError):
        checkpoints.load(path)
    with pytest.raises(FileNotFoundError):
        checkpoints.load(tmp_path / 'x.safetensors')
    torch.save(state, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r'before PyTorch 1\.6\. Load it there'):
        checkpoints.load(path)
    path.write_bytes(b'\xff\xd8 no checkpoint')
    with pytest.raises(ValueError, match=r'no file of torch\.save'):
        checkpoints.load(path)
    (tmp_path / 'x.safetensors').write_bytes(b'no checkpoint either')
    with pytest.raises(ValueError, match=r'no whole \.safetensors'):
        checkpoints.load(tmp_path / 'x.safetensors')
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    with pytest.raises(ValueError, match='a TorchScript program'):
        checkpoints.load(path)


def test_nothing_in_a_pickle_runs(tmp_path):
    class Touch:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / 'touched',))

    content = pickle.dumps({'model': Touch(), 'image_encoder.pos_embed': Touch()}, protocol=2)
    pickle.loads(content)
    (tmp_path / 'touched').unlink()
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as archive:
        archive.writestr('x/data.pkl', content)
    with pytest.raises(ValueError, match='no tensor'):
        checkpoints.load(tmp_path / 'x.pth')
    assert not (tmp_path / 'touched').exists()


def _read_all(path):
    with weight_files.opened(path) as weights:
        return {name: weights.read(name) for name in weights.shapes}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_cut_and_flipped_files_are_found(model, tmp_path, suffix):
    whole = tmp_path / f'whole{suffix}'
    checkpoints.save(model, whole)
    content, rng = whole.read_bytes(), np.random.default_rng(0)
    broken = tmp_path / f'broken{suffix}'
    for cut in rng.integers(0, len(content), 60):
        broken.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r'file|safetensors'):
            _read_all(broken)
    if suffix == '.safetensors':  # which has no checksums
        return
    expected = _read_all(whole)
    for at in rng.integers(0, len(content), 150):
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.integers(8)
        broken.write_bytes(flipped)
        try:
            found = _read_all(broken)
        except ValueError:
            continue
        assert found.keys() == expected.keys()  # the flip is in a part that says nothing
        assert all((found[name] == expected[name]).all() for name in expected)


def test_a_tensor_must_have_its_numbers(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as archive:
        archive.writestr('x/data.pkl', weight_files.pickles.write({'a': (1 << 20, 1 << 10)}))
        archive.writestr('x/data/0', b'1234')
    with pytest.raises(ValueError, match=r'a tensor a of \[1048576, 1024\] with 1 numbers'):
        _read_all(tmp_path / 'x.pth')
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x/data.pkl', weight_files.pickles.write({'a': (1,)}))
    with pytest.raises(ValueError, match=r'entry data\.pkl is compressed'):
        _read_all(tmp_path / 'x.pth')


def test_other_heads_are_not_saved(tmp_path):
    import keras_hub

    small = training.small_sam(64, hidden_size=16, num_layers=1).backbone
    config = {**small.mask_decoder.get_config(), 'num_heads': 4}
    other = keras_hub.models.SAMBackbone(
        image_encoder=small.image_encoder,
        prompt_encoder=small.prompt_encoder,
        mask_decoder=keras_hub.layers.SAMMaskDecoder(**config),
    )
    with pytest.raises(ValueError, match=r'expected `model` with 8 heads.*got 4'):
        checkpoints.save(training.PromptableSegmenter(other), tmp_path / 'x.pth')
    assert not list(tmp_path.iterdir())


_THERE = """
path = str(data['path'])
state = torch.load(path)
sam = side.sam_of({name: value.numpy() for name, value in state.items()})
masks, iou, low = side.predictor(sam, data['image'][0]).predict(
    point_coords=data['point'], point_labels=np.ones(1), multimask_output=True
)
out['low'] = low
torch.save({name: value + 1 for name, value in state.items()}, path)
"""


def test_metas_classes_take_our_files_and_we_theirs(meta, model, tmp_path):  # noqa: F811
    path = tmp_path / 'sam.pth'
    checkpoints.save(model, path)
    found = meta.run(
        _THERE, path=np.array(str(path)), image=_IMAGE, point=_CLICK['point_coords'][0, 0]
    )
    ours = _logits(model)[0, 0, 1:]
    assert np.abs(ours - found['low']).max() < 1e-4 * found['low'].std()
    expected = meta_names.tensors(model.backbone)
    back = checkpoints.load(path).backbone
    for was, now in zip(expected, meta_names.tensors(back), strict=True):
        np.testing.assert_array_equal(was.read() + np.float32(1), now.read())


_REGISTRY = """
from segment_anything import sam_model_registry
sam = sam_model_registry['vit_b'](checkpoint=str(data['path']))
out['names'] = np.array(sorted(sam.state_dict()))
"""


@pytest.mark.slow
def test_the_registry_takes_a_vit_b(meta, tmp_path):  # noqa: F811
    from segment_anything_tfds.training.sam import architecture

    sizes = architecture.Sizes(
        1024, 768, 12, 12, 3072, 14, (2, 5, 8, 11), 256, 16, 2, 2048, 4, 3, 256
    )
    model = training.PromptableSegmenter(architecture.build(sizes))
    checkpoints.save(model, tmp_path / 'vit_b.pth')
    assert len(meta.run(_REGISTRY, path=np.array(str(tmp_path / 'vit_b.pth')))['names']) == 314
    with weight_files.opened(tmp_path / 'vit_b.pth') as weights:
        assert architecture.sizes_of(weights.shapes) == sizes
