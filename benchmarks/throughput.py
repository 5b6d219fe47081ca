"""What a function costs inside `Dataset.map`, in wall time and in CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import tensorflow as tf
from _report import Cost


def milliseconds(elements: tf.data.Dataset, function: Callable[..., object], **options) -> float:
    """Returns the wall time of `cost`."""
    return cost(elements, function, **options).wall


def cost(
    elements: tf.data.Dataset,
    function: Callable[..., object],
    *,
    warm_up: float = 1.0,
    seconds: float = 2.0,
    parallel_calls: int | None = None,
) -> Cost:
    """Returns the median milliseconds of an element, over blocks of elements, after a warm-up.

    `tf.data` computes ahead of whoever asks, so one `next` says nothing; what counts is how long a
    block of elements takes once all buffers are full.
    """
    iterator = iter(elements.repeat().map(function, num_parallel_calls=parallel_calls))
    taken = _take_for(iterator, warm_up, at_least=2)
    block = max(2, int(taken / warm_up * seconds / 5))
    walls, cpus = [], []
    while len(walls) < 3 or sum(walls) < seconds:
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(block):
            next(iterator)
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - cpu)
    return Cost(*(1000 * statistics.median(values) / block for values in (walls, cpus)))


def _take_for(iterator, seconds: float, at_least: int) -> int:
    start, taken = time.perf_counter(), 0
    while taken < at_least or time.perf_counter() - start < seconds:
        next(iterator)
        taken += 1
    return taken
