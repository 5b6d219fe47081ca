"""`sa1b.load`: batches ready for `fit`, or raw examples, in one line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tensorflow_datasets as tfds

from segment_anything_tfds.actions import choosing
from segment_anything_tfds.arrays import archive_splits
from segment_anything_tfds.source import selection
from segment_anything_tfds.streaming import splits
from segment_anything_tfds.training.data import pass_count

if TYPE_CHECKING:
    from segment_anything_tfds.training.data.recipe import Recipe

SHUFFLE_BUFFER = 128  # undecoded examples of about 1 MB


def load(
    archives: archive_splits.Selection = None,
    *,
    manual_dir: choosing.Path | None = None,
    data_dir: choosing.Path | None = None,
    recipe: Recipe | None = None,
    split: str = 'train',
    hold_out: archive_splits.Selection = None,
    batch_size: int = 4,
    shuffle: bool | None = None,
    seed: int = 0,
    drop_remainder: bool = False,
    initial_epoch: int = 0,
    decoders: Any = None,
    images_only: bool = False,
    stream: bool = False,
    on_error: str = 'fail',
) -> tf.data.Dataset:
    """Loads SA-1B for training: batches that `model.fit` takes, or raw examples without a recipe.

    What is prepared in `data_dir` is read; what is not is prepared first, from the archives and
    links in `manual_dir`, as `tfds.load` does. The dataset ends after one pass, as an epoch of
    `fit` does; each pass shuffles and draws anew, each run the same for the same seed. All of it
    can be done by hand: `tfds.load` with `recipe.decoders` and a `ReadConfig`, then
    `recipe.batches`.

    Args:
      archives: a selection such as `'20-29+130'`; None for all.
      manual_dir: folder with archives, extracted archives, or `segment_anything_links.txt`.
      data_dir: where TFDS keeps prepared data; its own default if None.
      recipe: makes batches; None for raw examples.
      split: `'train'`, all but what is held out; `'validation'`, what is held out; `'all'`; slices
        by archives, such as `'train[:2shard]'`; without `hold_out` any slice of TFDS's.
      hold_out: archives to hold out of `'train'`, whole, by their numbers (`'28-29'`) or names
        (`['sa_000028.tar']`).
      batch_size: images a batch, with a recipe.
      shuffle: the order of archives, and examples in a window of 128; None for doing so with a
        recipe, unless the split is `'validation'`.
      seed: of the order and of the recipe.
      drop_remainder: leave out a last smaller batch.
      initial_epoch: passes that a run before made, as in `fit`; this one goes on with the order
        and the draws that it would have made.
      decoders: as in `tfds.load`; with a recipe its own are used.
      images_only: examples have `image` alone, and the annotations, most of the work, are never
        parsed. With a recipe: batches of `image`, `content_size` and `image_id`.
      stream: read archives, folders and links as they are, with nothing prepared; see
        `sa1b.stream`.
      on_error: of preparing, or of the stream: `'fail'`, or `'skip'` for leaving out records that
        break a rule.

    Returns:
      With a recipe, batches of `(inputs, masks, valid)`, see `Recipe`; else examples.

    Raises:
      ValueError: an argument breaks its rule, or archives are neither prepared nor at hand.

    Example:
      >>> train = load('20-29', recipe=recipe, hold_out='28-29')  # doctest: +SKIP
      >>> validation = load(  # doctest: +SKIP
      ...     '20-29', recipe=recipe, hold_out='28-29', split='validation'
      ... )
      >>> model.fit(train, validation_data=validation, epochs=10)  # doctest: +SKIP
    """
    if recipe is not None and not hasattr(recipe, 'batches'):
        raise choosing.ArgumentError(
            f'`sa1b.load`: expected `recipe` to be a training.Recipe; got {recipe!r}. '
            "Get one by its name: training.recipes.get('sam')."
        )
    if recipe is not None and decoders is not None:
        raise choosing.ArgumentError(
            '`sa1b.load`: expected `decoders` without a `recipe`, which has its own; got both. '
            'Leave one of them out.'
        )
    if stream and initial_epoch:
        raise choosing.ArgumentError(
            '`sa1b.load`: expected `initial_epoch` without `stream`; got both. Save the iterator of'
            ' a stream with `tf.train.Checkpoint`.'
        )
    if shuffle is None:
        shuffle = recipe is not None and not split.startswith(splits.HOLD_OUT_SPLIT)
    decoders = recipe.decoders if recipe is not None else decoders
    decoders = _images_alone(decoders) if images_only else decoders
    order = seed if shuffle else None
    if stream:
        places = {'manual_dir': _expanded(manual_dir), 'data_dir': _expanded(data_dir)}
        examples = _streamed(archives, split, hold_out, decoders, on_error, order, **places)
    else:
        builder = _builder(archives, manual_dir, data_dir, on_error)
        examples = _examples(builder, split, hold_out, decoders, order)
        examples = _shuffled(examples, seed, initial_epoch) if shuffle else examples
    if recipe is None:
        return examples
    options = {'seed': seed, 'drop_remainder': drop_remainder, 'initial_epoch': initial_epoch}
    if images_only:
        from segment_anything_tfds.training.data import images

        return images.batches(recipe, examples, batch_size, **options)
    return recipe.batches(examples, batch_size, **options)


def _images_alone(decoders: Any):
    """Decoders that read nothing of the annotations."""
    return tfds.decode.PartialDecoding({'image': True}, decoders=decoders)


def _streamed(archives, split, hold_out, decoders, on_error, seed, **places) -> tf.data.Dataset:
    from segment_anything_tfds.streaming import stream_api

    where = '`sa1b.load`'
    return stream_api.stream(
        archive_splits.parse(where, archives, 'archives') or None,
        split=split,
        hold_out=archive_splits.parse(where, hold_out, 'hold_out') or None,
        decoders=decoders,
        on_error=on_error,
        seed=seed,
        **places,
    )


def _builder(archives, manual_dir, data_dir, on_error: str):
    """Gives the builder of a selection, prepared."""
    name = 'segment_anything'
    if archives is not None:
        numbers = archive_splits.parse('`sa1b.load`', archives, 'archives')
        name = f'{name}/{selection.format(numbers)}'
    builder = tfds.builder(name, data_dir=_expanded(data_dir), on_error=on_error)
    config = tfds.download.DownloadConfig(manual_dir=_expanded(manual_dir))
    builder.download_and_prepare(download_config=config)
    return builder


def _expanded(path: choosing.Path | None) -> str | None:
    return None if path is None else os.path.expanduser(os.fspath(path))


def _examples(builder, split: str, hold_out, decoders, seed: int | None) -> tf.data.Dataset:
    """Gives examples of a prepared dataset; with a seed, archives in another order in each pass."""
    return builder.as_dataset(
        split=archive_splits.shards('`sa1b.load`', builder.data_dir, split, hold_out=hold_out),
        decoders=decoders,
        shuffle_files=seed is not None,
        read_config=tfds.ReadConfig(try_autocache=False, shuffle_seed=seed),
    )


def _shuffled(examples: tf.data.Dataset, seed: int, skipped: int) -> tf.data.Dataset:
    """Shuffles the examples anew in each pass, as after some passes that were made before."""
    shuffled = examples.shuffle(SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=True)
    for _ in range(skipped):
        next(iter(examples), None)  # the order of archives is drawn with the first example
    return pass_count.counted_by_use(shuffled, skipped)
