"""Checks of arguments, for every operation: static faults while tracing, values at run time.

All take first `where`, the public function that errors name, such as `rle.decode`, then `argument`,
the name of what is checked, then its value.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

MAX_PIXELS = 2**31 - 1  # of one mask: positions are int32
Check = tuple[tf.Tensor, Callable[[], tf.Tensor]]


def vector(where: str, argument: str, value: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns `value` as a tensor of rank 1 and `dtype`, or raises ValueError."""
    if isinstance(value, (list, tuple)) and not value:
        value = tf.constant([], dtype)
    if isinstance(value, tf.RaggedTensor):
        raise ValueError(
            f'{where}: expected `{argument}` of shape [N], the masks of one image; got a ragged'
            f' tensor of {value.shape}. Call it before images are batched.'
        )
    value = tf.convert_to_tensor(value)
    if value.dtype != dtype:
        raise ValueError(
            f'{where}: expected `{argument}` of dtype {dtype.name}; got {value.dtype.name}.'
            ' Pass it as the dataset gives it.'
        )
    static_shape(where, argument, value, [(None,)], '[N]')
    return tf.ensure_shape(value, [None])


def integers(where: str, argument: str, value: tf.Tensor) -> tf.Tensor:
    """Returns integers of any dtype as int64; uint64 past int64 turns negative."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_integer:
        raise ValueError(
            f'{where}: expected `{argument}` of integers; got {value.dtype.name}. Cast it.'
        )
    return tf.cast(value, tf.int64)


def static_shape(
    where: str,
    argument: str,
    value: tf.Tensor,
    shapes: Sequence[tuple[int | None, ...]],
    rule: str,
) -> None:
    """Raises ValueError unless the static shape is compatible with one of `shapes`."""
    if not any(value.shape.is_compatible_with(shape) for shape in shapes):
        raise ValueError(
            f'{where}: expected `{argument}` of shape {rule}; got {value.shape}. Reshape it.'
        )


def first_fault(where: str, checks: Sequence[Check]) -> list[tf.Operation]:
    """Returns what to depend on, so that the first failing check raises InvalidArgumentError.

    The messages of all checks stand in one branch of one `tf.cond`: a branch for each would take
    far longer to trace, and `tf.data` saves iterators with `If` in them, but not with `Case`.

    Args:
      where: the public function to name.
      checks: pairs of a bool scalar, true where all is well, and a function that returns the
        message, without the name. It runs where any check fails, so it must not fail itself where
        its own holds: `first_true` and `value_at` do not.
    """
    passed = tf.stack([check for check, _ in checks])

    def fail():
        messages = tf.stack([describe() for _, describe in checks])
        message = tf.gather(messages, tf.argmin(tf.cast(passed, tf.int32)))
        return _fail(tf.strings.join([f'{where}: ', message]))

    return [tf.cond(tf.reduce_all(passed), lambda: tf.constant(True), fail)]


def _fail(message: tf.Tensor) -> tf.Tensor:
    if tf.executing_eagerly():
        raise tf.errors.InvalidArgumentError(None, None, message.numpy().decode())
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tf.constant(False)


def first_true(flags: tf.Tensor) -> tf.Tensor:
    """Returns int64 scalar, the index of the first true of bool [N]; 0 where there is none."""
    # A zero behind the flags, so that there is a value to look at; of equal ones, argmax is first.
    return tf.argmax(tf.pad(tf.cast(flags, tf.int32), [[0, 1]]))


def value_at(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns one of `values`, numbers [N] or [N, M]; zeros where there is none."""
    padding = [[0, 1]] + [[0, 0]] * (values.shape.rank - 1)
    return tf.gather(tf.pad(values, padding), index)


def choice(where: str, argument: str, value: object, allowed: Iterable[str]) -> None:
    """Raises `ValueError` unless `value` is one of the strings `allowed`."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        names = ', '.join(repr(a) for a in allowed)
        raise ValueError(
            f'{where}: expected `{argument}` to be one of {names}; got {value!r}. '
            'Choose one of them.'
        )


def is_int(value: object) -> bool:
    """Tells whether `value` is an int, of Python or a scalar of NumPy, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def at_least(where: str, argument: str, value: float, minimum: float) -> float:
    """Returns the number `value` as a float of Python; `ValueError` if it is below `minimum`."""
    if not _is_number(value) or not value >= minimum:
        raise ValueError(
            f'{where}: expected `{argument}` to be a number ≥ {minimum}; got {value!r}. '
            f'Pass a Python number of {minimum} or more.'
        )
    return float(value)


def positive_int(where: str, argument: str, value: int) -> int:
    """Returns the int `value` as one of Python; `ValueError` if it is none or below 1."""
    if not is_int(value) or value < 1:
        raise ValueError(
            f'{where}: expected `{argument}` to be an int ≥ 1; got {value!r}. Pass a Python int.'
        )
    return int(value)


def between(where: str, argument: str, value: float, low: float, high: float) -> float:
    """Returns the number `value` as a float of Python; `ValueError` outside [low, high]."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(
            f'{where}: expected `{argument}` to be a number from {low} to {high}; got {value!r}. '
            'Pass a Python number in this range.'
        )
    return float(value)


def fraction(where: str, argument: str, value: float) -> float:
    """Returns the number `value` as a float of Python; `ValueError` unless above 0, at most 1."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError(
            f'{where}: expected `{argument}` to be a number above 0 and at most 1; got {value!r}. '
            'Pass a Python number in this range.'
        )
    return float(value)


def float_vector(where: str, argument: str, value: tf.Tensor) -> tf.Tensor:
    """Returns `value` as float32 [N], or raises `ValueError`."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating or not value.shape.is_compatible_with([None]):
        raise ValueError(
            f'{where}: expected `{argument}` to be floats of shape [N]; got {value.dtype.name} '
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


def positive_size(where: str, argument: str, size: tf.Tensor) -> tf.Tensor:
    """Returns `size` [..., 2] as int32, checked to be [height, width], both 1 or more."""
    size = tf.convert_to_tensor(size)
    if not size.dtype.is_integer or not (
        size.shape.rank is None or (size.shape.rank and size.shape[-1] in (2, None))
    ):
        raise ValueError(
            f'{where}: expected `{argument}` to be integers [height, width] of shape [2] or '
            f'[..., 2]; got {size.dtype.name} {size.shape}. Pass the height first.'
        )
    known = tf.get_static_value(size)
    if known is not None and ((known > 0) & (known < 2**31)).all():
        return tf.cast(size, tf.int32)
    wide = tf.cast(size, tf.int64)

    def describe():
        return tf.strings.format(
            f'expected `{argument}` ≥ 1; got {{}}. Pass [height, width] in pixels.', [wide]
        )

    good = tf.reduce_all((wide > 0) & (wide < 2**31))
    with tf.control_dependencies(first_fault(where, [(good, describe)])):
        return tf.cast(wide, tf.int32)


def one_size(
    where: str, size: tf.Tensor, num_masks: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, list[Check]]:
    """Returns height and width as int64 scalars, both 0 without masks, and the checks to make.

    Args:
      where: the public function to name in errors.
      size: integer [2] or [N, 2]: [height, width]; uint64, as the dataset stores it, is accepted.
      num_masks: int32 scalar N.

    Returns:
      Height, width, and for `first_fault`: N differs, sizes differ, a size is not positive, or a
      mask would pass `MAX_PIXELS`.

    Raises:
      ValueError: not integers, or a shape that cannot be [2] or [N, 2].
    """
    size = integers(where, 'size', size)
    static_shape(where, 'size', size, [(2,), (None, 2)], '[2] or [N, 2]')
    rows = tf.reshape(size, [-1, 2])
    first = tf.concat([rows, tf.zeros([1, 2], tf.int64)], 0)[0]  # [0, 0] where there are no rows
    return first[0], first[1], _size_checks(size, rows, tf.shape(rows)[0], num_masks)


def _size_checks(size, rows, num_rows, num_masks):
    single = tf.equal(tf.rank(size), 1)
    fits = (rows >= 1) & (rows <= MAX_PIXELS)
    clipped = tf.clip_by_value(rows, 0, MAX_PIXELS)  # so the product, below 2⁶², does not wrap
    right = tf.reduce_all(fits, 1) & (clipped[:, 0] * clipped[:, 1] <= MAX_PIXELS)
    same = tf.reduce_all(tf.equal(rows, rows[:1]), 1)

    def wrong_number():
        return tf.strings.format(
            'expected `size` of shape [2] or [{}, 2], one row a mask; got {} rows. '
            'Pass one size for all masks, or one for each.',
            [num_masks, num_rows],
        )

    def wrong_size():
        row = first_true(~right)
        return tf.strings.format(
            'expected `size` positive with height x width at most {}; got {} at index {}. '
            'Pass [height, width] in pixels.',
            [tf.constant(MAX_PIXELS), value_at(rows, row), row],
        )

    def differing():
        row = first_true(~same)
        return tf.strings.format(
            'expected `size` equal for all masks of a call; got {} at index 0 and {} at index {}. '
            'Call once for each size.',
            [value_at(rows, 0), value_at(rows, row), row],
        )

    return [
        (single | tf.equal(num_rows, num_masks), wrong_number),
        (tf.reduce_all(right), wrong_size),
        (tf.reduce_all(same), differing),
    ]
