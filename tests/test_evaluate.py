"""Evaluation of models, of files against pycocotools, and on the command line."""

import json
import pathlib

import building
import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from pycocotools import mask as coco_mask

from segment_anything_tfds import training
from segment_anything_tfds.cli import main as cli
from segment_anything_tfds.training import evaluation, metrics

pytest.importorskip('keras_hub')

DUMMY = pathlib.Path(__file__).resolve().parent.parent / 'dummy_data'
SIZE = (40, 50)


def _circles(seed, count=12, shift=0.0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = []
    for _ in range(count):
        y, x = rng.uniform(8, 32), rng.uniform(8, 42)
        masks.append(np.hypot(rows - y, columns - x - shift) < rng.uniform(3, 9))
    return np.array(masks, np.uint8)


def _encode(masks):
    return [coco_mask.encode(np.asfortranarray(mask))['counts'] for mask in masks]


def _set(seed, shift=0.0, ids=None, image_id=1):
    return evaluation.Masks(image_id, SIZE, _encode(_circles(seed, shift=shift)), ids)


def _ious(a, b):
    return (a & b).sum((1, 2)) / np.maximum((a | b).sum((1, 2)), 1)


def test_pairs_by_id_whatever_their_order():
    truth, other = _set(1, ids=list(range(12))), _set(1, shift=1.5, ids=list(range(12)))
    order = np.random.default_rng(0).permutation(12)
    shuffled = evaluation.Masks(1, SIZE, [other.counts[i] for i in order], order.tolist())
    ious = _ious(_circles(1), _circles(1, shift=1.5))
    found = evaluation.compare([truth], [shuffled])
    assert found['count'] == 12
    np.testing.assert_allclose(found['mean_iou'], ious.mean(), atol=1e-6)
    np.testing.assert_allclose(found['share_above_0.75'], (ious > 0.75).mean(), atol=1e-6)
    np.testing.assert_allclose(found['share_above_0.90'], (ious > 0.9).mean(), atol=1e-6)
    areas = _circles(1).sum((1, 2))
    np.testing.assert_allclose(found['mean_iou_small'], ious[areas < 1024].mean(), atol=1e-6)
    assert found['mean_iou_large'] is None


def test_without_ids_the_nearest_mask_counts():
    found = evaluation.compare([_set(1)], [_set(1, shift=1.0)])
    a, b = _circles(1).astype(bool), _circles(1, shift=1.0).astype(bool)
    pairwise = [max(_ious(np.broadcast_to(x, b.shape), b)) for x in a]
    np.testing.assert_allclose(found['mean_iou'], np.mean(pairwise), atol=1e-6)


def test_what_is_missing_counts_as_zero_and_is_said():
    ids = list(range(12))
    truth = [_set(1, ids=ids), _set(2, ids=ids, image_id=2)]
    half = evaluation.Masks(1, SIZE, truth[0].counts[:6], ids[:6])
    found = evaluation.compare(truth, [half])
    assert found['mean_iou'] == 0.25
    assert (found['images'], found['num_missing'], found['missing_images']) == (2, 1, [2])


def test_other_size_is_refused():
    other = evaluation.Masks(1, (4, 4), ['`0'], None)
    with pytest.raises(ValueError, match=r'compare: expected masks of size \(40, 50\).*\(4, 4\)'):
        evaluation.compare([_set(1)], [other])


def test_malformed_rle_is_an_error():
    other = evaluation.Masks(1, SIZE, [b'\x00'], None)
    with pytest.raises(ValueError, match=r'compare: expected compressed COCO RLE .* image 1; got'):
        evaluation.compare([_set(1)], [other])


def _write_results(path, masks, ids=True):
    rows = [
        {'image_id': masks.image_id, 'segmentation': {'size': list(SIZE), 'counts': c.decode()}}
        for c in masks.counts
    ]
    for number, row in enumerate(rows if ids else []):
        row['id'] = number
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize('ids', [True, False])
def test_coco_results_are_read(tmp_path, ids):
    masks = _set(3, ids=list(range(12)) if ids else None, image_id=7)
    _write_results(tmp_path / 'results.json', masks, ids)
    assert evaluation.from_coco_results(tmp_path / 'results.json') == [masks]


def test_wrong_coco_results_are_named(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text(json.dumps([{'image_id': 1, 'segmentation': {'size': [4, 4]}}]))
    with pytest.raises(ValueError, match=r"from_coco_results: expected .*'counts' at index 0"):
        evaluation.from_coco_results(path)
    for content in ('{}', '{"annotations": 5}', '"x"'):
        path.write_text(content)
        with pytest.raises(
            ValueError, match='expected a list, or a dataset with `annotations`; got'
        ):
            evaluation.from_coco_results(path)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    return building.build(DUMMY, tmp_path_factory.mktemp('data'))


def test_examples_of_the_dataset_agree_with_themselves(prepared):
    examples = list(tfds.as_numpy(prepared.as_dataset(split='train')))
    found = evaluation.compare(
        evaluation.from_examples(examples), evaluation.from_examples(examples[::-1])
    )
    full = sum(len(example['annotations']['area']) for example in examples)
    assert found['count'] == full and found['images'] == len(examples)
    assert found['mean_iou'] == found['share_above_0.90'] == 1.0


class _Oracle(training.PromptableSegmenter):
    """Gives the true mask of the object under the last click, one pixel column short."""

    def __init__(self, truth, **kwargs):
        super().__init__(training.small_sam(64, hidden_size=16, num_layers=1), **kwargs)
        self.truth = truth

    def decode(self, embeddings, prompts):
        truth = np.asarray(self.truth, np.float32)
        clicks = prompts['point_labels'].shape[-1]
        cut = truth.copy()
        if 'boxes_xyxy' not in prompts:
            cut[..., clicks * 4 :] = 0
        return {'masks': (cut[:, :, None] - 0.5) * 8, 'iou_pred': np.ones([*truth.shape[:2], 1])}


def test_clicks_and_box_are_counted_apart(prepared):
    recipe = training.Recipe(
        image_size=64, mask_size=16, num_masks=4, point_probability=0, box_probability=1
    )
    dataset = prepared.as_dataset(split='train', decoders=recipe.decoders)
    batch = next(iter(recipe.batches(dataset, 2, seed=1)))
    truth, valid = np.asarray(batch[1]), np.asarray(batch[2]) > 0
    found = evaluation.evaluate_model(_Oracle(truth), [batch], clicks=np.array([1, 3]))
    assert found['box']['mean_iou'] == 1.0 and found['box']['count'] == valid.sum()
    for number in (1, 3):
        cut = truth * (np.arange(16) < 4 * number)
        ious = cut.sum((2, 3)) / np.maximum(truth.sum((2, 3)), 1)
        np.testing.assert_allclose(
            found[f'{number}_clicks']['mean_iou'], ious[valid].mean(), atol=1e-6
        )


def test_clicks_are_checked():
    with pytest.raises(ValueError, match=r'evaluate_model: expected `clicks`.*got \(0,\)'):
        evaluation.evaluate_model(None, [], clicks=(0,))
    with pytest.raises(ValueError, match=r'evaluate_model: expected `clicks`.*got \(1\.0,\)'):
        evaluation.evaluate_model(None, [], clicks=(1.0,))


def test_command_judges_a_saved_model(prepared, tmp_path, capsys):
    model = training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))
    model.save(tmp_path / 'sam.keras')
    arguments = ['evaluate', str(prepared.data_dir), '--model', str(tmp_path / 'sam.keras')]
    assert (
        cli.main([*arguments, '--limit', '2', '--num_masks', '4', '--clicks', '1,2', '--json']) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {'box', '1_clicks', '2_clicks'}
    assert all(0 <= summary['mean_iou'] <= 1 and summary['count'] for summary in found.values())
    again = keras.saving.load_model(tmp_path / 'sam.keras')
    recipe = training.Recipe(
        image_size=64, mask_size=16, num_masks=4, point_probability=0, box_probability=1,
        box_jitter=0.0,
    )  # fmt: skip
    dataset = prepared.as_dataset(split='train', decoders=recipe.decoders).take(2)
    mean = metrics.MeanMaskIoU()
    for inputs, masks, valid in recipe.batches(dataset, 4, seed=0):
        mean.update_state(masks, again(inputs), valid)
    np.testing.assert_allclose(found['box']['mean_iou'], float(mean.result()), atol=1e-5)


def test_command_compares_annotations(prepared, tmp_path, capsys):
    archive = str(DUMMY / 'sa_000000.tar')
    assert cli.main(['evaluate', archive, '--against', archive, '--json']) == 0
    found = json.loads(capsys.readouterr().out)['masks']
    assert found['mean_iou'] == 1.0 and found['num_missing'] == 0
    example = next(iter(prepared.as_dataset(split='train')))
    masks = next(evaluation.from_examples([example]))
    rows = [
        {
            'image_id': masks.image_id,
            'id': identity,
            'segmentation': {'size': list(masks.size), 'counts': counts.numpy().decode()},
        }
        for identity, counts in zip(masks.ids, masks.counts, strict=True)
    ]
    (tmp_path / 'results.json').write_text(json.dumps(rows))
    arguments = [str(prepared.data_dir), '--results', str(tmp_path / 'results.json')]
    assert cli.main(['evaluate', *arguments]) == 0
    out = capsys.readouterr()
    assert 'share_above_0.90' in out.out and 'num_missing' in out.err


def test_command_loads_a_model_in_a_process_of_its_own(prepared, tmp_path):
    """There, nobody has imported the model's class before."""
    model = training.PromptableSegmenter(training.small_sam(64, hidden_size=16, num_layers=1))
    model.save(tmp_path / 'sam.keras')
    arguments = [prepared.data_dir, '--model', tmp_path / 'sam.keras', '--num_masks', '2']
    arguments += ['--limit', '1', '--clicks', '1', '--archives', '1', '--json']
    code = (
        'import sys; from segment_anything_tfds.cli import main; sys.exit(main.main(sys.argv[1:]))'
    )
    done = building.run_python(code, 'evaluate', *arguments)
    assert set(json.loads(done.stdout)) == {'box', '1_clicks'}


def test_command_judges_the_archives_that_are_named(prepared, tmp_path, capsys):
    training.small_sam(64, hidden_size=16, num_layers=1).save(tmp_path / 'hub.keras')
    arguments = ['evaluate', prepared.data_dir, '--model', str(tmp_path / 'hub.keras'), '--json']
    arguments += ['--clicks', '1', '--batch_size', '5']
    assert cli.main([*arguments, '--archives', '1']) == 0
    found = json.loads(capsys.readouterr().out)['box']['count']
    recipe = training.Recipe(image_size=64, mask_size=16)
    shard = prepared.as_dataset(split='train[1shard]', decoders=recipe.decoders)
    assert found == sum(
        float(valid.numpy().sum()) for *_, valid in recipe.batches(shard, 5, seed=0)
    )


def test_command_judges_a_slice_of_a_split(prepared, tmp_path, capsys):
    training.small_sam(64, hidden_size=16, num_layers=1).save(tmp_path / 'hub.keras')
    arguments = ['evaluate', prepared.data_dir, '--model', str(tmp_path / 'hub.keras'), '--json']
    arguments += ['--clicks', '1', '--batch_size', '5', '--split']
    recipe = training.Recipe(image_size=64, mask_size=16)
    counts = {}
    for split in ('train[1shard:]', 'train[:1shard]', 'train[:1shard]+train[1shard:]'):
        assert cli.main([*arguments, split]) == 0
        counts[split] = json.loads(capsys.readouterr().out)['box']['count']
        chosen = prepared.as_dataset(split=split, decoders=recipe.decoders)
        assert counts[split] == sum(
            float(valid.numpy().sum()) for *_, valid in recipe.batches(chosen, 5, seed=0)
        )
    assert counts.popitem()[1] == sum(counts.values())


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        (['--split', 'test[:1shard]'], '--split: expected one of train; got test'),
        (['--split', 'train[1shard:'], '--split: '),
        (['--split', 'train[:1shard]', '--archives', '1'], 'without a slice beside --archives'),
    ],
)
def test_slices_that_are_refused(prepared, arguments, match, capsys):
    assert cli.main(['evaluate', prepared.data_dir, '--model', 'sam.keras', *arguments]) == 2
    assert match in capsys.readouterr().err


def test_command_pairs_what_was_exported(tmp_path, capsys):
    out = str(tmp_path / 'coco')
    assert cli.main(['export', str(DUMMY), '--format', 'coco', '--out', out]) == 0
    arguments = [str(DUMMY), '--results', f'{out}/instances.json', '--json']
    assert cli.main(['evaluate', *arguments]) == 0
    assert json.loads(capsys.readouterr().out)['masks']['mean_iou'] == 1.0


def test_filter_is_for_the_truth(capsys):
    archive = str(DUMMY / 'sa_000000.tar')
    rules = ['--filter', 'area>=1000', '--limit', '2', '--json']
    assert cli.main(['evaluate', archive, '--against', str(DUMMY), *rules]) == 0
    found = json.loads(capsys.readouterr().out)['masks']
    assert found['mean_iou'] == 1.0 and found['images'] == 2 and found['num_missing'] == 0


@pytest.mark.parametrize(
    'arguments, code, match',
    [
        (['--model', 'sam.keras', '--filter', 'area>1'], 2, '--filter: expected --results or'),
        (['--model', 'sam.keras'], 2, '--model: expected one PATH, the folder of a prepared'),
        (['--results', 'absent.json'], 2, 'absent.json'),
    ],
)
def test_command_says_what_is_wrong(arguments, code, match, capsys):
    assert cli.main(['evaluate', str(DUMMY / 'sa_000000.tar'), *arguments]) == code
    assert match in capsys.readouterr().err


def test_command_names_a_file_that_is_no_json(tmp_path, capsys):
    (tmp_path / 'results.json').write_text('[1')
    arguments = [str(DUMMY / 'sa_000000.tar'), '--results', str(tmp_path / 'results.json')]
    assert cli.main(['evaluate', *arguments]) == 1
    assert f'expected JSON in {tmp_path / "results.json"}; got' in capsys.readouterr().err


def test_other_split_is_refused(prepared, capsys):
    arguments = [prepared.data_dir, '--model', 'sam.keras', '--split', 'test']
    assert cli.main(['evaluate', *map(str, arguments)]) == 2
    assert '--split: expected one of train; got test' in capsys.readouterr().err
