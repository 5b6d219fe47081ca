"""The one harness for operations in the input graph: every mode agrees, and nothing leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

SAVES_OR_FAILS = 2  # tf.data.experimental.ExternalStatePolicy.FAIL
FORBIDDEN_OPS = {'PyFunc', 'PyFuncStateless', 'EagerPyFunc', 'InplaceAdd', 'InplaceUpdate'}


# (operation, dtypes and ranks of its arguments) -> its traces, and whether a case without elements
# has been through all modes. Tracing is what these tests take their time for.
_TRACED: dict[tuple, tuple] = {}
_SEEN_EMPTY: set[tuple] = set()


def check(
    operation: Callable,
    arguments: Sequence,
    expected=None,
    *,
    dtype: tf.DType | Sequence[tf.DType],
    shape: Sequence | None = None,
    atol: float = 0,
) -> list[np.ndarray]:
    """Checks an operation in every mode; returns its results.

    Eager, `tf.function` with unknown dimensions, with unknown ranks and of constants, and
    `Dataset.map` with known shapes agree; results have the documented dtypes and, statically and
    dynamically, the documented shapes; the graph holds no Python op and none that alters its
    inputs, and iterators can be saved.

    An operation is traced once for arguments of the same dtypes and ranks. Constants and
    `Dataset.map` want a trace for each case: they get the first one, and the first with an
    argument that has no elements. So define operations once, outside of parametrised tests.

    Args:
      operation: a function of tensors.
      arguments: arrays or tensors; strings as object arrays.
      expected: what the results must equal, or None.
      dtype: of each result.
      shape: static shape with unknown dimensions as None, where all arguments' dimensions are
        unknown; of each result if there are several.
      atol: greatest difference from `expected`.
    """
    arguments = [_tensor(argument) for argument in arguments]
    results = tf.nest.flatten(operation(*arguments))
    dtypes = [dtype] if isinstance(dtype, tf.DType) else list(dtype)
    assert [result.dtype for result in results] == dtypes
    key = (operation, *((argument.dtype, argument.shape.rank) for argument in arguments))
    is_new = key not in _TRACED
    if is_new:
        _TRACED[key] = _trace(operation, arguments, results)
    for function in _TRACED[key]:
        _same(function(*arguments), results)
    if shape is not None:
        _check_static(_TRACED[key][0], [shape] if len(results) == 1 else shape)
    is_empty = any(argument.shape.num_elements() == 0 for argument in arguments)
    if is_new or (is_empty and key not in _SEEN_EMPTY):
        _check_known(operation, arguments, results)
    if is_empty:
        _SEEN_EMPTY.add(key)
    results = [_plain(result) for result in results]
    if expected is not None:
        wanted = expected if isinstance(expected, (list, tuple)) else [expected]
        for result, want in zip(results, wanted, strict=True):
            assert result.shape == np.shape(want)
            np.testing.assert_allclose(result, want, rtol=0, atol=atol) if atol else (
                np.testing.assert_array_equal(result, want)
            )
    return results


def _trace(operation: Callable, arguments: Sequence, results: Sequence) -> tuple:
    """Traces for unknown dimensions, and for unknown ranks."""
    open_dims = [tf.TensorSpec([None] * a.shape.rank, a.dtype) for a in arguments]
    open_rank = [tf.TensorSpec(None, argument.dtype) for argument in arguments]
    traces = []
    for signature in (open_dims, open_rank):
        traces.append(tf.function(operation, input_signature=signature).get_concrete_function())
        _check_graph(traces[-1], results)
    return tuple(traces)


def _check_known(operation: Callable, arguments: Sequence, results: Sequence) -> None:
    """Modes in which shapes, or values, are known while tracing."""
    constants = [_plain(argument) for argument in arguments]
    folded = tf.function(lambda: operation(*map(tf.constant, constants)))
    for _ in range(2):
        _same(folded(), results)
    iterator = iter(tf.data.Dataset.from_tensors(tuple(arguments)).map(operation))
    _same(next(iterator), results)
    tf.raw_ops.SerializeIterator(
        resource_handle=iterator._iterator_resource, external_state_policy=SAVES_OR_FAILS
    )


def _tensor(argument) -> tf.Tensor:
    if isinstance(argument, np.ndarray) and argument.dtype.hasobject:
        return tf.constant(argument, tf.string)
    return tf.convert_to_tensor(argument)


def _plain(result):
    return result.numpy() if isinstance(result, tf.Tensor) else result


def _same(got, results) -> None:
    for one, other in zip(tf.nest.flatten(got), results, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert tf.reduce_all(tf.equal(one, other)), (one, other)


def _check_static(function, shapes) -> None:
    for output, shape in zip(tf.nest.flatten(function.structured_outputs), shapes, strict=True):
        assert output.shape.as_list() == list(shape)


def _check_graph(function, results) -> None:
    for output, result in zip(tf.nest.flatten(function.structured_outputs), results, strict=True):
        assert output.dtype == result.dtype
        assert output.shape.is_compatible_with(result.shape)
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    assert not {node.op for node in nodes} & FORBIDDEN_OPS
