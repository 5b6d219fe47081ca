"""How good masks are: a model's, those in a file, or another set of annotations."""

from __future__ import annotations

import os
import pathlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segment_anything_tfds.actions import choosing, places
from segment_anything_tfds.source import label_table, meter
from segment_anything_tfds.source.archive import inputs

if TYPE_CHECKING:
    from segment_anything_tfds.exchange.records import Record

CLICKS = (1, 2, 3, 5, 9)
MEAN = 'mean of data sets'
Summaries = dict[str, dict[str, Any]]


def evaluate(
    paths: choosing.Paths,
    *,
    model: Any = None,
    results: choosing.Path | None = None,
    proposals: choosing.Path | None = None,
    against: choosing.Path | None = None,
    split: str = 'train',
    clicks: str | int | Iterable[int] = CLICKS,
    first_click: str = 'center',
    seed: int = 0,
    batch_size: int = 32,
    num_masks: int | None = None,
    plot: choosing.Path | None = None,
    archives: choosing.Archives = None,
    filter: str | None = None,
    limit: int | None = None,
    labels: label_table.Table | None = None,
    on_error: str = 'fail',
    on_fault: choosing.OnFault | None = None,
    progress: meter.Show = None,
) -> dict[str, Any]:
    """Judges a model, predicted masks, or other annotations, against those of some data.

    Args:
      paths: what holds the truth; for a model, folders of prepared datasets.
      model: what `training.load_model` takes, or a model; or several of them.
      results: masks as COCO results JSON.
      proposals: the same with scores, for AR@1000.
      against: other annotations of the same images.
      split: of the dataset, for a model; slices as in TFDS, such as `'train[10shard:]'`.
      clicks: numbers of clicks, for a model; also as a text such as `'1,3,5'`.
      first_click: `'center'` or `'random'`.
      seed: of random clicks.
      batch_size: masks that a model decodes at once.
      num_masks: masks an image, the first ones; all by default.
      plot: a file for the curves of models: mean IoU over clicks.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      filter: rules for the truth joined by commas, such as `'area>=1000'`; not for a model.
      limit: how many images to judge at most.
      labels: a table of labels, as `records` takes it.
      on_error: `'fail'` stops at the first record that breaks a rule, `'skip'` leaves it out.
      on_fault: with `'skip'`, called with each fault.
      progress: whether and how to show progress, in images.

    Returns:
      Of one model on one data set: a summary by kind of prompt (`'1_clicks'`, ..., `'box'`), as
      `training.evaluate.evaluate_model` gives it; of several, such summaries by model and by data
      set. Otherwise `{'masks': summary}`.

    Raises:
      FileNotFoundError: a path does not exist.
      ValueError: an argument is malformed, or not one of the four is given.
    """
    judged = {'model': model, 'results': results, 'proposals': proposals, 'against': against}
    given = [name for name, value in judged.items() if value is not None]
    if len(given) != 1:
        raise choosing.ArgumentError(
            f'`evaluate`: expected one of {", ".join(judged)}; got {", ".join(given) or "none"}.'
        )
    if model is not None:
        protocol = {
            'clicks': parse_clicks(clicks),
            'first_click': first_click,
            'seed': seed,
            'batch_size': batch_size,
            'num_masks': num_masks,
        }
        _check_plot(plot)
        sources = _sources(paths, archives, split, filter)
        found = _judge_models(_models(model), sources, split, limit, protocol, progress)
        if plot is not None:
            _plot(found, plot)
        rows = [summary for by_dataset in found.values() for summary in by_dataset.values()]
        return rows[0] if len(rows) == 1 else found
    if plot is not None:
        raise choosing.ArgumentError('--plot: expected --model beside it; got none. Leave it out.')
    policy = choosing.Policy(on_error, on_fault)
    truth = choosing.read(
        paths, policy, archives=archives, filter=filter, limit=limit, labels=labels
    )
    truth = meter.track(truth, 'evaluate', total=limit, progress=progress)
    return {'masks': _judge_masks(truth, results or proposals, against, policy, bool(proposals))}


def parse_clicks(clicks: str | int | Iterable[int]) -> tuple[int, ...]:
    """Reads numbers of clicks, also one, or from a text such as `'1,3,5'`."""
    given = clicks.split(',') if isinstance(clicks, str) else clicks
    given = [given] if isinstance(given, int) else given
    try:
        numbers = tuple(int(n) for n in given)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise choosing.ArgumentError(f'--clicks: expected numbers such as 1,3,5; got {clicks!r}')
    return numbers


def _judge_masks(truth, path, against, policy: choosing.Policy, recall: bool) -> dict[str, Any]:
    from segment_anything_tfds.training import evaluation

    if against is None:
        other: Iterable = evaluation.from_coco_results(path)
    else:  # all of it: what is chosen is chosen by the truth
        other = map(_to_masks, choosing.read(against, policy))
    judge = evaluation.average_recall if recall else evaluation.compare
    return judge(map(_to_masks, truth), other)


def _to_masks(record: Record):
    from segment_anything_tfds.training import evaluation

    image = record.json['image']
    rows = record.rows
    return evaluation.Masks(
        image['image_id'],
        (image['height'], image['width']),
        [row['segmentation']['counts'].encode() for row in rows],
        [row['id'] for row in rows],
    )


def _models(given: Any) -> dict[str, Any]:
    """Gives models, or what loads them, by name."""
    given = [given] if isinstance(given, (str, os.PathLike)) or hasattr(given, 'weights') else given
    return {
        os.fspath(one) if isinstance(one, (str, os.PathLike)) else f'{one.name} {number}': one
        for number, one in enumerate(given)
    }


def _judge_models(
    models: Mapping[str, Any],
    sources: Mapping[str, Sequence[inputs.Shard]],
    split: str,
    limit: int | None,
    protocol: Mapping[str, Any],
    progress: meter.Show,
) -> dict[str, dict[str, Summaries]]:
    """Summaries by model, by data set, by prompt."""
    from segment_anything_tfds import training

    found: dict[str, dict[str, Summaries]] = {}
    for name, model in models.items():
        if isinstance(model, (str, os.PathLike)):
            model = training.load_model(model)
        by_dataset = {}
        for path, shards in sources.items():
            examples, images = _examples(shards, split, limit)
            shown = meter.track(examples, 'evaluate', total=images, progress=progress)
            by_dataset[path] = training.evaluate.evaluate_model(model, shown, **protocol)
        if len(by_dataset) > 1:
            by_dataset[MEAN] = training.evaluate.mean_of_datasets(list(by_dataset.values()))
        found[name] = by_dataset
    return found


def _examples(shards: Sequence[inputs.Shard], split: str, limit: int | None):
    """Gives examples of a prepared dataset, with undecoded images, and how many there are."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(shards[0].folder)
    if '[' in split:
        try:
            images = builder.info.splits[split].num_examples
        except ValueError as error:
            raise choosing.ArgumentError(f'--split: {error}') from None
    else:
        images = sum(shard.examples for shard in shards)
        split = '+'.join(f'{shard.split}[{shard.index}shard]' for shard in shards)
    dataset = builder.as_dataset(
        split=split,
        decoders={'image': {'content': tfds.decode.SkipDecoding()}},
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    return tfds.as_numpy(dataset.take(limit or -1)), min(images, limit or sys.maxsize)


def _sources(
    paths: choosing.Paths, archives: choosing.Archives, split: str, filter: str | None
) -> dict[str, list[inputs.Shard]]:
    """Gives the shards to judge models on, by data set."""
    if filter:
        raise choosing.ArgumentError(
            '--filter: expected --results or --against beside it; got --model. Leave it out.'
        )
    return {os.fspath(path): _shards(path, archives, split) for path in choosing.listed(paths)}


def _shards(path: choosing.Path, archives: choosing.Archives, split: str) -> list[inputs.Shard]:
    """Gives the shards of a prepared dataset that a split has."""
    shards = [unit for unit in choosing.find(path, archives) if isinstance(unit, inputs.Shard)]
    if not shards:
        raise choosing.ArgumentError(
            f'--model: expected each PATH to be the folder of a prepared dataset; got {path}'
        )
    if '[' in split and archives is not None:
        raise choosing.ArgumentError(
            f'--split: expected a split without a slice beside --archives; got {split}. '
            'Leave one of them out.'
        )
    names = {part.partition('[')[0].strip() for part in split.split('+')}
    if unknown := names - {shard.split for shard in shards}:
        splits = ', '.join(sorted({shard.split for shard in shards}))
        raise choosing.ArgumentError(
            f'--split: expected one of {splits}; got {", ".join(sorted(unknown))}'
        )
    return [shard for shard in shards if shard.split in names]


def _check_plot(path: choosing.Path | None) -> None:
    """Makes sure, before the work, that the curve can be drawn there."""
    if path is not None:
        from segment_anything_tfds.report import curves

        places.check_file('plot', path)
        try:
            curves.kind_of(path)
        except ValueError as error:
            raise choosing.ArgumentError(f'--plot: {error}') from None


def _plot(found: Mapping[str, Mapping[str, Summaries]], path: choosing.Path) -> None:
    """Draws a line a model and data set: chosen output over clicks, interval, and the oracle."""
    from segment_anything_tfds.report import curves

    lines = []
    stems = Counter(pathlib.PurePath(model).stem for model in found)
    for model, by_dataset in found.items():
        for dataset, summary in by_dataset.items():
            stem = pathlib.PurePath(model).stem
            label = stem if stems[stem] == 1 else model
            label = label if len(by_dataset) == 1 else f'{label}, {dataset}'
            clicks = {
                int(name.split('_')[0]): row for name, row in summary.items() if name != 'box'
            }
            lines.append(curves.Line(label, clicks))
    curves.draw(lines, path)
