"""The stream as a `tf.data.Dataset`: archives as its elements first, then their examples.

    range -> shuffled by the pass's seed -> groups of archives -> serialised examples -> features

The archives are elements, so that the service of `tf.data` can deal them out to its workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from segment_anything_tfds.streaming import lifetimes
from segment_anything_tfds.streaming.parts.cursors import Position

RECORDS = 4  # examples that a step of Python hands over at once, of 1 MB each; they are held twice
_FOREVER = 1 << 62


def make(
    readers: lifetimes.Readers,
    numbers: Sequence[int],
    *,
    seed: int | None,
    interleave: int,
    window: int,
    passes: int | None = None,
) -> tf.data.Dataset:
    """Makes a dataset of serialised examples of archives; an iterator over it can be saved.

    Args:
      readers: what reads them.
      numbers: numbers of the archives.
      seed: what archives and examples are shuffled by, anew in each pass; `None` for their order.
      interleave: archives that are read at once.
      window: examples that are shuffled among each other.
      passes: how often, -1 for ever, so that the number of the pass is saved too; `None` for once,
        with another order for each iterator.
    """
    numbers = tf.constant(numbers, tf.int64)
    if seed is None or passes is None:
        groups = _one_pass(numbers, seed)
    else:
        groups = _several_passes(numbers, seed, passes, interleave)
    groups = groups.batch(interleave)
    dataset = groups.flat_map(lambda group, keys: _group(readers, group, keys[0], window))
    options = tf.data.Options()
    # Steps are functions of their position, whatever TensorFlow must think of Python code.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    return dataset.with_options(options)


def decode(dataset: tf.data.Dataset, features, decoders: Any) -> tf.data.Dataset:
    """Parses serialised examples and decodes them, as TFDS does.

    Args:
      dataset: serialised examples.
      features: TFDS's features.
      decoders: as in `tfds.load`.
    """
    import tensorflow_datasets as tfds

    if isinstance(decoders, tfds.decode.PartialDecoding):
        features, decoders = decoders.extract_features(features), decoders.decoders
    return dataset.map(
        lambda record: features.deserialize_example(record, decoders=decoders),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)


def _one_pass(numbers: tf.Tensor, seed: int | None) -> tf.data.Dataset:
    """Lists numbers of archives, each with the key that the pass is shuffled by, -1 for none."""
    indices = tf.data.Dataset.range(len(numbers))
    if seed is None:
        return indices.map(lambda index: (numbers[index], tf.constant(-1, tf.int64)))
    keys = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    keys = keys.scan(tf.constant(-1, tf.int64), _hold_first)
    pairs = tf.data.Dataset.zip((indices, keys))
    return pairs.map(lambda index, key: (_shuffled(numbers, key)[index], key))


def _several_passes(numbers: tf.Tensor, seed: int, passes: int, interleave: int) -> tf.data.Dataset:
    """Lists passes, as `_one_pass`, each filled up with -1 so that no group has two of them.

    The number of the pass comes from the index. `Dataset.repeat` would have TensorFlow draw a seed
    for each, and an iterator that is saved while it draws ahead does not always go on equally.
    """
    # 5 archives, 2 at a time: 6 places a pass, such as 3 0 | 4 1 | 2 -1, and then the next pass.
    length = -(-len(numbers) // interleave) * interleave
    indices = tf.data.Dataset.range(_FOREVER if passes < 0 else passes * length)

    def look_up(index):
        seeds = tf.stack([tf.constant(seed, tf.int64), index // length])
        key = tf.random.stateless_uniform([], seeds, 0, 1 << 31, tf.int64)
        order = tf.pad(_shuffled(numbers, key), [[0, length - len(numbers)]], constant_values=-1)
        return order[index % length], key

    return indices.map(look_up)


def _hold_first(held: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # of the keys 7 3 9 that are drawn, all elements of the pass get 7
    held = tf.where(held < 0, key, held)
    return held, held


def _shuffled(numbers: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_shuffle(numbers, tf.stack([key, 0]))


@tf.autograph.experimental.do_not_convert  # a converted step takes twice as long
def _group(
    readers: lifetimes.Readers, group: tf.Tensor, key: tf.Tensor, window: int
) -> tf.data.Dataset:
    """Gives the serialised examples of a few archives that are read at once."""

    def step(position, token, group, key):
        if position.numpy():
            at = Position.from_json(position.numpy())
        else:
            seed = int(key) if key >= 0 else None
            archives = [number for number in group.numpy().tolist() if number >= 0]
            at = Position.start(archives, seed, window)
        done = readers.step(at, tuple(token.numpy().tolist()), RECORDS)
        records = tf.constant(done.records, tf.string, [len(done.records)])
        return records, done.is_last, done.position.to_json(), done.token

    def scan(state, _):
        types = tf.string, tf.bool, tf.string, tf.int64
        records, is_last, position, token = tf.py_function(step, [*state, group, key], types)
        state = tf.ensure_shape(position, []), tf.ensure_shape(token, [2])
        return state, (tf.ensure_shape(records, [None]), tf.ensure_shape(is_last, []))

    start = tf.constant(''), tf.constant(lifetimes.NO_TOKEN, tf.int64)
    steps = tf.data.Dataset.range(_FOREVER).scan(start, scan)
    steps = steps.take_while(lambda records, is_last: tf.logical_not(is_last))
    return steps.map(lambda records, is_last: records).unbatch()
