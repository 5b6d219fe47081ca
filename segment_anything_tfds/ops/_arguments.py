"""Checks on arguments, with the house's error text: where, rule, value, what to do."""

from __future__ import annotations

import numbers
from collections.abc import Iterable

import tensorflow as tf

from segment_anything_tfds.ops import _checks


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
    with tf.control_dependencies(_checks.first_fault([(good, describe)], name=where)):
        return tf.cast(wide, tf.int32)
