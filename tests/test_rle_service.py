"""Masks are decoded by the workers of `tf.data` service."""

import numpy as np
import tensorflow as tf

from segment_anything_tfds.ops import rle


def test_decodes_in_data_service():
    masks = (np.random.default_rng(0).random((6, 3, 20, 30)) < 0.3).astype(np.uint8)
    counts = [rle.encode(group).numpy() for group in masks]
    dispatcher = tf.data.experimental.service.DispatchServer()
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=dispatcher.target.split('://')[1], heartbeat_interval_ms=100
    )
    worker = tf.data.experimental.service.WorkerServer(config)
    dataset = (
        tf.data.Dataset.from_tensor_slices(np.array(counts))
        .map(lambda strings: rle.decode(strings, (20, 30)))
        .apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.OFF, dispatcher.target
            )
        )
    )
    np.testing.assert_array_equal(np.stack(list(dataset.as_numpy_iterator())), masks)
    worker.stop()
