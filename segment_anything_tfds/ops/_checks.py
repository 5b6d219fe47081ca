"""Checks of arguments, for every operation: static faults while tracing, values at run time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

Check = tuple[tf.Tensor, Callable[[], tf.Tensor]]


def vector(value, dtype: tf.DType, *, argument: str, name: str) -> tf.Tensor:
    """Returns `value` as a tensor of rank 1 and `dtype`, or raises ValueError."""
    if isinstance(value, (list, tuple)) and not value:
        value = tf.constant([], dtype)
    if isinstance(value, tf.RaggedTensor):
        raise ValueError(
            f'{name}: expected `{argument}` of shape [N], the masks of one image; got a ragged'
            f' tensor of {value.shape}. Call it before images are batched.'
        )
    value = tf.convert_to_tensor(value)
    if value.dtype != dtype:
        raise ValueError(
            f'{name}: expected `{argument}` of dtype {dtype.name}; got {value.dtype.name}.'
            ' Pass it as the dataset gives it.'
        )
    static_shape(value, [(None,)], argument=argument, name=name, rule='[N]')
    return tf.ensure_shape(value, [None])


def integers(value, *, argument: str, name: str) -> tf.Tensor:
    """Returns integers of any dtype as int64; uint64 past int64 turns negative."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_integer:
        raise ValueError(
            f'{name}: expected `{argument}` of integers; got {value.dtype.name}. Cast it.'
        )
    return tf.cast(value, tf.int64)


def static_shape(
    value: tf.Tensor,
    shapes: Sequence[tuple[int | None, ...]],
    *,
    argument: str,
    name: str,
    rule: str,
) -> None:
    """Raises ValueError unless the static shape is compatible with one of `shapes`."""
    if not any(value.shape.is_compatible_with(shape) for shape in shapes):
        raise ValueError(
            f'{name}: expected `{argument}` of shape {rule}; got {value.shape}. Reshape it.'
        )


def first_fault(checks: Sequence[Check], *, name: str) -> list[tf.Operation]:
    """Returns what to depend on, so that the first failing check raises InvalidArgumentError.

    Args:
      checks: pairs of a bool scalar, true where all is well, and a function that returns the
        message, without the name; it is only run for a failing check.
      name: the public function to name.
    """
    passed = tf.reduce_all(tf.stack([check for check, _ in checks]))
    return [tf.cond(passed, lambda: tf.constant(True), lambda: _fail_first(checks, name))]


def _fail_first(checks: Sequence[Check], name: str) -> tf.Tensor:
    """Asks one by one: `tf.data` saves iterators with `If` in them, but not with `Case`."""
    (passed, describe), *rest = checks

    def fail():
        return _fail(name, describe())

    return tf.cond(passed, lambda: _fail_first(rest, name), fail) if rest else fail()


def _fail(name: str, message: tf.Tensor) -> tf.Tensor:
    message = tf.strings.join([f'{name}: ', message])
    if tf.executing_eagerly():
        raise tf.errors.InvalidArgumentError(None, None, message.numpy().decode())
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tf.constant(False)
