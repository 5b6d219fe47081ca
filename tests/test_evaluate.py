"""Evaluation of models, of files against pycocotools, and on the command line."""

import json
import pathlib
import types

import building
import keras
import numpy as np
import pytest
import small_models
import tensorflow_datasets as tfds
from PIL import Image
from pycocotools import mask as coco_mask

import segment_anything_tfds as sa1b
from segment_anything_tfds import training
from segment_anything_tfds.cli import main as cli
from segment_anything_tfds.training import evaluation

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


def test_own_ids_that_never_meet_pair_by_overlap():
    """As a COCO data set that numbers its masks itself."""
    truth = [_set(n, ids=list(range(1000, 1012)), image_id=n) for n in (1, 2)]
    other = [_set(n, ids=list(range(12 * n, 12 * n + 12)), image_id=n) for n in (1, 2)]
    found = evaluation.compare(truth, other)
    assert found['mean_iou'] == 1.0 and found['paired_by'] == 'overlap' and found['pairs'] == 24


def test_shares_of_pairs_leave_out_what_has_no_partner():
    truth, other = _set(1, ids=list(range(12))), _set(1, shift=1.5, ids=list(range(12)))
    ious = _ious(_circles(1), _circles(1, shift=1.5))[:8]
    fewer = evaluation.Masks(1, SIZE, other.counts[:8], other.ids[:8])
    found = evaluation.compare([truth], [fewer])
    assert found['paired_by'] == 'ids' and found['pairs'] == 8 and found['count'] == 12
    np.testing.assert_allclose(found['pairs_above_0.75'], (ious > 0.75).mean(), atol=1e-6)
    np.testing.assert_allclose(found['share_above_0.75'], (ious > 0.75).sum() / 12, atol=1e-6)


def test_average_recall_counts_what_is_found():
    disjoint = np.zeros((4, *SIZE), np.uint8)
    for n in range(4):
        disjoint[n, :20, 12 * n : 12 * n + 10] = 1
    half = disjoint.copy()
    half[3, :6] = half[3, 6, 36:39] = 0  # IoU 137 / 200: above four of the ten thresholds
    truth = evaluation.Masks(5, SIZE, _encode(disjoint))
    found = evaluation.average_recall(
        [truth], [evaluation.Masks(5, SIZE, _encode(half[1:]), None, [0.5, 0.9, 0.7])]
    )
    assert found['ar@1000'] == pytest.approx((2 + 0.4) / 4) and found['objects'] == 4
    assert found['ar@1000_small'] == found['ar@1000'] and found['ar@1000_large'] is None
    one = evaluation.average_recall(
        [truth], [evaluation.Masks(5, SIZE, _encode(disjoint), None, [1, 2, 3, 4])], max_proposals=1
    )
    assert one['ar@1'] == 0.25
    with pytest.raises(ValueError, match='expected `proposals` with scores; got none for image 5'):
        evaluation.average_recall([truth], [truth])


def test_intervals_cover_the_mean_and_shrink():
    rng = np.random.default_rng(0)
    widths = []
    for images in (10, 400):
        scores = evaluation.Scores()
        for _ in range(images):
            scores.add(np.clip(rng.normal(0.6, 0.1) + rng.normal(0, 0.05, 5), 0, 1), np.ones(5))
        found = scores.summary()
        assert found['mean_iou_low'] < found['mean_iou'] < found['mean_iou_high']
        widths.append(found['mean_iou_high'] - found['mean_iou_low'])
    assert widths[1] < widths[0] / 3
    # The standard error of 400 means that spread by 0.1 is 0.005.
    assert widths[1] == pytest.approx(2 * 1.96 * 0.005, rel=0.25)


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


def test_examples_of_the_dataset_agree_with_themselves(prepared_dummy):
    examples = list(tfds.as_numpy(prepared_dummy.as_dataset(split='train')))
    found = evaluation.compare(
        evaluation.from_examples(examples), evaluation.from_examples(examples[::-1])
    )
    full = sum(len(example['annotations']['area']) for example in examples)
    assert found['count'] == full and found['images'] == len(examples)
    assert found['mean_iou'] == found['share_above_0.90'] == 1.0


def test_clicks_are_checked():
    with pytest.raises(ValueError, match=r'evaluate_model: expected `clicks`.*got \(0,\)'):
        evaluation.evaluate_model(None, [], clicks=(0,))
    with pytest.raises(ValueError, match=r'evaluate_model: expected `clicks`.*got \(1\.0,\)'):
        evaluation.evaluate_model(None, [], clicks=(1.0,))
    with pytest.raises(ValueError, match=r"expected `first_click` 'center' or 'random'; got 'up'"):
        evaluation.evaluate_model(None, [], first_click='up')
    with pytest.raises(ValueError, match='expected `batch_size` of 1 or more; got 0'):
        evaluation.evaluate_model(None, [], batch_size=0)


def test_a_dataset_and_one_number_of_clicks(prepared_dummy):
    model = training.PromptableSegmenter(small_models.as_new(64))
    dataset = prepared_dummy.as_dataset(split='train').take(1)
    expected = evaluation.evaluate_model(model, tfds.as_numpy(dataset), clicks=(2,), num_masks=2)
    assert evaluation.evaluate_model(model, dataset, clicks=2, num_masks=2) == expected
    nothing = evaluation.evaluate_model(model, [], clicks=2)
    assert nothing.keys() == expected.keys()
    for name, row in nothing.items():
        assert row.keys() == expected[name].keys() and row['count'] == 0 and row['oracle'] is None


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> pathlib.Path:
    """A folder with a model as we save it, and one as KerasHub does."""
    folder = tmp_path_factory.mktemp('models')
    segmenter = small_models.as_new(64)
    segmenter.save(folder / 'hub.keras')
    training.PromptableSegmenter(segmenter).save(folder / 'sam.keras')
    return folder


def test_command_judges_a_saved_model(prepared_dummy, models, capsys):
    arguments = ['evaluate', str(prepared_dummy.data_dir), '--model', str(models / 'sam.keras')]
    assert (
        cli.main([*arguments, '--limit', '2', '--num_masks', '4', '--clicks', '1,2', '--json']) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {'box', '1_clicks', '2_clicks'}
    for row in found.values():
        assert row['count'] == 8
        assert 0 <= row['mean_iou_low'] <= row['mean_iou'] <= row['mean_iou_high'] <= 1
        assert row['mean_iou'] <= row['oracle']
    again = keras.saving.load_model(models / 'sam.keras')
    dataset = tfds.as_numpy(prepared_dummy.as_dataset(split='train').take(2))
    here = evaluation.evaluate_model(again, dataset, clicks=(1, 2), num_masks=4)
    for name, row in found.items():  # logits near zero may fall on either side
        assert row == pytest.approx(here[name], abs=2e-3), name


def test_command_compares_annotations(prepared_dummy, tmp_path, capsys):
    archive = str(DUMMY / 'sa_000000.tar')
    assert cli.main(['evaluate', archive, '--against', archive, '--json']) == 0
    found = json.loads(capsys.readouterr().out)['masks']
    assert found['mean_iou'] == 1.0 and found['num_missing'] == 0
    example = next(iter(prepared_dummy.as_dataset(split='train')))
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
    arguments = [str(prepared_dummy.data_dir), '--results', str(tmp_path / 'results.json')]
    assert cli.main(['evaluate', *arguments]) == 0
    out = capsys.readouterr()
    assert 'share_above_0.90' in out.out and 'num_missing' in out.err


def test_command_loads_a_model_in_a_process_of_its_own(prepared_dummy, models):
    """There, nobody has imported the model's class before."""
    arguments = [prepared_dummy.data_dir, '--model', models / 'sam.keras', '--num_masks', '2']
    arguments += ['--limit', '1', '--clicks', '1', '--archives', '1', '--json']
    code = (
        'import sys; from segment_anything_tfds.cli import main; sys.exit(main.main(sys.argv[1:]))'
    )
    done = building.run_python(code, 'evaluate', *arguments)
    assert set(json.loads(done.stdout)) == {'box', '1_clicks'}


def test_command_judges_the_archives_that_are_named(prepared_dummy, models, capsys):
    arguments = ['evaluate', prepared_dummy.data_dir, '--model', str(models / 'hub.keras')]
    arguments += ['--json', '--clicks', '1', '--batch_size', '5']
    assert cli.main([*arguments, '--archives', '1']) == 0
    found = json.loads(capsys.readouterr().out)['box']['count']
    shard = tfds.as_numpy(prepared_dummy.as_dataset(split='train[1shard]'))
    assert found == sum(len(example['annotations']['area']) for example in shard)


def test_command_pairs_what_was_exported(tmp_path, capsys):
    out = str(tmp_path / 'coco')
    assert cli.main(['export', str(DUMMY), '--format', 'coco', '--out', out]) == 0
    arguments = [str(DUMMY), '--results', f'{out}/instances.json', '--json']
    assert cli.main(['evaluate', *arguments]) == 0
    found = json.loads(capsys.readouterr().out)['masks']
    assert found['mean_iou'] == 1.0 and found['images'] == 15
    assert found['num_missing'] == 0  # though an image without masks has no row in the file


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
        (['--model', 'sam.keras'], 2, '--model: expected each PATH to be the folder of a prepared'),
        (['--results', 'absent.json'], 2, 'absent.json'),
        (['--model', 'absent.keras', '--plot', 'curve.xyz'], 2, 'to end with .'),
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


@pytest.mark.parametrize('split', ['train[1shard:]', 'train[:40%]', 'train[1:3]+train[-1:]'])
def test_split_may_be_a_slice(prepared_dummy, split, monkeypatch):
    seen, shown = [], []

    def judge(model, examples, **protocol):
        seen.extend(int(example['image']['image_id']) for example in examples)
        return {'box': {'count': len(seen)}}

    monkeypatch.setattr(evaluation, 'evaluate_model', judge)
    model = types.SimpleNamespace(weights=(), name='model')
    options = {'model': model, 'split': split, 'progress': shown.append}
    sa1b.evaluate(prepared_dummy.data_dir, **options)
    wanted = building.read(prepared_dummy, split)
    assert seen == [int(example['image']['image_id']) for example in wanted]
    assert shown[-1].done == shown[-1].total == len(wanted)
    with pytest.raises(ValueError, match='--split: expected a split without a slice beside --arch'):
        sa1b.evaluate(prepared_dummy.data_dir, archives='1', **options)
    with pytest.raises(ValueError, match='--split: '):
        sa1b.evaluate(prepared_dummy.data_dir, **{**options, 'split': 'train[x]'})


def test_other_split_is_refused(prepared_dummy, capsys):
    arguments = [prepared_dummy.data_dir, '--model', 'sam.keras', '--split', 'test']
    assert cli.main(['evaluate', *map(str, arguments)]) == 2
    assert '--split: expected one of train; got test' in capsys.readouterr().err


@pytest.mark.slow
def test_command_draws_two_models(prepared_dummy, tmp_path, capsys):
    pytest.importorskip('matplotlib')
    models = [tmp_path / f'{name}.keras' for name in ('ours', 'other')]
    for path in models:
        training.small_sam(64, hidden_size=16, num_layers=1).save(path)
    arguments = ['evaluate', str(prepared_dummy.data_dir), '--plot', str(tmp_path / 'curve.png')]
    for path in models:
        arguments += ['--model', str(path)]
    assert cli.main([*arguments, '--limit', '1', '--num_masks', '3', '--clicks', '1,2']) == 0
    out = capsys.readouterr().out
    assert all(str(path) in out for path in models)
    header = next(line for line in out.splitlines() if line.startswith('prompt'))
    columns = ['mean_iou', 'mean_iou_low', 'mean_iou_high', 'oracle', 'boundary_iou']
    assert set(columns) <= set(header.split())
    drawn = np.asarray(Image.open(tmp_path / 'curve.png').convert('RGB')).reshape(-1, 3)
    assert len(np.unique(drawn, axis=0)) > 20  # two lines, dashes and bands
