"""Checks of arguments, for every operation: static faults while tracing, values at run time."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

MAX_PIXELS = 2**31 - 1  # of one mask: positions are int32
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


def choice(where: str, name: str, value: object, allowed: Iterable[str]) -> None:
    """Raises `ValueError` unless `value` is one of the strings `allowed`."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        names = ', '.join(repr(a) for a in allowed)
        raise ValueError(
            f'{where}: expected `{name}` to be one of {names}; got {value!r}. Choose one of them.'
        )


def is_int(value: object) -> bool:
    """Whether `value` is an int, of Python or a scalar of NumPy, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def at_least(where: str, name: str, value: float, minimum: float) -> float:
    """Returns the number `value` as a float of Python; `ValueError` if it is below `minimum`."""
    if not _is_number(value) or not value >= minimum:
        raise ValueError(
            f'{where}: expected `{name}` to be a number ≥ {minimum}; got {value!r}. '
            f'Pass a Python number of {minimum} or more.'
        )
    return float(value)


def positive_int(where: str, name: str, value: int) -> int:
    """Returns the int `value` as one of Python; `ValueError` if it is none or below 1."""
    if not is_int(value) or value < 1:
        raise ValueError(
            f'{where}: expected `{name}` to be an int ≥ 1; got {value!r}. Pass a Python int.'
        )
    return int(value)


def between(where: str, name: str, value: float, low: float, high: float) -> float:
    """Returns the number `value` as a float of Python; `ValueError` outside [low, high]."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(
            f'{where}: expected `{name}` to be a number from {low} to {high}; got {value!r}. '
            'Pass a Python number in this range.'
        )
    return float(value)


def float_vector(where: str, name: str, value: tf.Tensor) -> tf.Tensor:
    """Returns `value` as float32 [N], or raises `ValueError`."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating or not value.shape.is_compatible_with([None]):
        raise ValueError(
            f'{where}: expected `{name}` to be floats of shape [N]; got {value.dtype.name} '
            f'{value.shape}. Pass one float a mask.'
        )
    return tf.ensure_shape(tf.cast(value, tf.float32), [None])


def seed(where: str, value: tf.Tensor) -> tf.Tensor:
    """Returns `value` as an integer tensor [2], or raises `ValueError`."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_integer or not value.shape.is_compatible_with([2]):
        raise ValueError(
            f'{where}: expected `seed` to be integers of shape [2]; got {value.dtype.name} '
            f'{value.shape}. Pass for instance [epoch, index].'
        )
    return tf.ensure_shape(value, [2])


def positive_size(where: str, name: str, size: tf.Tensor) -> tf.Tensor:
    """Returns `size` [..., 2] as int32, checked to be [height, width], both 1 or more."""
    size = tf.convert_to_tensor(size)
    if not size.dtype.is_integer or not (
        size.shape.rank is None or (size.shape.rank and size.shape[-1] in (2, None))
    ):
        raise ValueError(
            f'{where}: expected `{name}` to be integers [height, width] of shape [2] or [..., 2]; '
            f'got {size.dtype.name} {size.shape}. Pass the height first.'
        )
    wide = tf.cast(size, tf.int64)

    def describe():
        return tf.strings.format(
            f'expected `{name}` ≥ 1; got {{}}. Pass [height, width] in pixels.', [wide]
        )

    good = tf.reduce_all((wide > 0) & (wide < 2**31))
    with tf.control_dependencies(first_fault([(good, describe)], name=where)):
        return tf.cast(wide, tf.int32)


def one_size(size: tf.Tensor, num_masks: tf.Tensor, *, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks `size` and returns height and width as int32 scalars.

    Args:
      size: integer [2] or [N, 2]: [height, width]; uint64, as the dataset stores it, is accepted.
      num_masks: integer scalar N.
      name: the public function to name in errors.

    Raises:
      ValueError: not integers, or a shape that cannot be [2] or [N, 2].
      tf.errors.InvalidArgumentError: N differs, sizes differ, a size is not positive or a mask
        would pass `MAX_PIXELS`.
    """
    size = integers(size, argument='size', name=name)
    static_shape(size, [(2,), (None, 2)], argument='size', name=name, rule='[2] or [N, 2]')
    rows = tf.reshape(size, [-1, 2])
    num_rows = tf.shape(rows)[0]
    first = tf.concat([rows, tf.zeros([1, 2], tf.int64)], 0)[0]
    height, width = first[0], first[1]
    checks = _size_checks(size, rows, num_rows, tf.cast(num_masks, tf.int32))
    with tf.control_dependencies(first_fault(checks, name=name)):
        return tf.cast(height, tf.int32), tf.cast(width, tf.int32)


def _size_checks(size, rows, num_rows, num_masks):
    single = tf.equal(tf.rank(size), 1)
    fits = (rows >= 1) & (rows <= MAX_PIXELS)
    clipped = tf.clip_by_value(rows, 0, MAX_PIXELS)
    right = tf.reduce_all(fits, 1) & (clipped[:, 0] * clipped[:, 1] <= MAX_PIXELS)
    same = tf.reduce_all(tf.equal(rows, rows[:1]), 1)

    def wrong_number():
        return tf.strings.format(
            'expected `size` of shape [2] or [{}, 2], one row a mask; got {} rows. '
            'Pass one size for all masks, or one for each.',
            [num_masks, num_rows],
        )

    def wrong_size():
        row = tf.where(~right)[0, 0]
        return tf.strings.format(
            'expected `size` positive with height x width at most {}; got {} at index {}. '
            'Pass [height, width] in pixels.',
            [tf.constant(MAX_PIXELS), rows[row], row],
        )

    def differing():
        row = tf.where(~same)[0, 0]
        return tf.strings.format(
            'expected `size` equal for all masks of a call; got {} at index 0 and {} at index {}. '
            'Call once for each size.',
            [tf.gather(rows, 0), tf.gather(rows, row), row],
        )

    return [
        (single | tf.equal(num_rows, num_masks), wrong_number),
        (tf.reduce_all(right), wrong_size),
        (tf.reduce_all(same), differing),
    ]
