"""Keras layers, for the TensorFlow and JAX backends alike."""

from __future__ import annotations

import keras

from segment_anything_tfds.ops.rle import device


@keras.saving.register_keras_serializable(package='segment_anything_tfds')
class DecodeRuns(keras.layers.Layer):
    """Draws masks from `rle.to_runs` inside a model, on the device that trains it.

    The same masks as `rle.decode_runs`, written on `keras.ops`. It has no weights and no gradient.

    Args:
      target_size: two ints, height h and width w of the masks in pixels.
      **kwargs: of `keras.layers.Layer`; `dtype` is the dtype of the masks, float32 by default.

    Call arguments:
      runs: int32 [..., R], from `rle.to_runs`.
      size: integer, [2] or with leading dimensions of `runs`, such as [B, 2] for runs [B, N, R]:
        [height, width] in pixels of the masks.

    Returns:
      [..., h, w] in the layer's compute dtype, 1 in the mask. Zero masks give [0, h, w].

    Raises:
      ValueError: a `target_size` that is not two ints from 1 to 8,192, `runs` that are not int32,
        a `size` whose shape does not fit, or masks of 2³¹ cells or more, as `rle.decode_runs`.

    Example:
      >>> draw = layers.DecodeRuns((2, 2))
      >>> keras.ops.convert_to_numpy(draw(np.int32([[5, 7, 9, 11]]), np.int32([4, 4]))).tolist()
      [[[1.0, 0.0], [0.0, 0.0]]]
    """

    def __init__(self, target_size: tuple[int, int], **kwargs):
        target_size = device.check_target_size('layers.DecodeRuns', target_size)
        super().__init__(**{'trainable': False, **kwargs})
        self.target_size = target_size
        self.built = True

    def call(self, runs, size):
        device.check_runs('layers.DecodeRuns', _Described(runs), _Described(size))
        runs = device.check_cells('layers.DecodeRuns', runs, self.target_size)
        size = keras.ops.cast(size, 'int32')
        return device.draw(keras.ops, runs, size, self.target_size, self.compute_dtype)

    def compute_output_shape(self, runs_shape, size_shape=None):
        return (*runs_shape[:-1], *self.target_size)

    def get_config(self):
        return {**super().get_config(), 'target_size': self.target_size}


class _Described:
    """Shape and dtype name of a tensor of any backend."""

    def __init__(self, tensor):
        self.shape = tensor.shape
        self.dtype = keras.backend.standardize_dtype(tensor.dtype)
