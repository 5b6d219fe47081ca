"""Which output learns which of the several masks that a click may mean.

M outputs, T targets of a prompt. An empty target does not count, so a prompt may have fewer.
"""

from __future__ import annotations

import itertools

from keras import ops

_NEVER = 1e6


def by_cost(targets, allowed, cost):
    """Pairs a click's targets with the outputs, at the least cost in all; see `matched`.

    Args:
      targets: [..., T, H, W].
      allowed: float [..., M], 1 for outputs that may learn.
      cost: a function of one target for all outputs, [..., M, H, W], that gives [..., M].

    Returns:
      float [..., T, M], 1 for pairs that learn, without a gradient.
    """
    shape = (*ops.shape(allowed), *targets.shape[-2:])
    each = ops.split(targets, targets.shape[-3], axis=-3)
    costs = ops.stack([cost(ops.broadcast_to(one, shape)) for one in each], axis=-2)
    return ops.stop_gradient(matched(costs, _present(targets), allowed))


def by_place(targets, allowed):
    """Pairs output m with target m: float [..., M, M], 1 on the diagonal where both count."""
    number, outputs = targets.shape[-3], allowed.shape[-1]
    if number != outputs:
        raise ValueError(
            f'losses.SegmentAnythingLoss: expected `y_true` of {outputs} masks, one an output; got '
            f"{number}. Make batches by a recipe with `targets='levels'`."
        )
    return ops.eye(number) * (_present(targets) * allowed)[..., None]


def matched(costs, counts, allowed):
    """Finds the one-to-one assignment of least cost by trying all: what DETR's Hungarian one finds.

    For 2 targets and 3 outputs there are 6 ways, (0, 1), (0, 2), (1, 0), ...: way (2, 0) gives the
    first target output 2 and the second output 0. SAM's 3 outputs for a click have 6 ways for 3
    targets.

    Args:
      costs: float [..., T, M], T <= M.
      counts: float [..., T], 1 for targets that count.
      allowed: float [..., M], 1 for outputs that may learn.

    Returns:
      float [..., T, M], 1 for pairs that learn.

    Raises:
      ValueError: more targets than outputs.

    Example:
      >>> costs = ops.array([[1.0, 2.0, 9.0], [1.5, 9.0, 9.0]])
      >>> pairs = matched(costs, ops.ones([2]), ops.ones([3]))
      >>> ops.convert_to_numpy(pairs).tolist()
      [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    num_targets, num_outputs = costs.shape[-2:]
    if num_targets > num_outputs:
        raise ValueError(
            'losses.SegmentAnythingLoss: expected `y_true` [..., T, H, W] of at most as many '
            f'targets as outputs, {num_outputs}; got {num_targets}. Lower `num_targets`.'
        )
    fits = counts[..., None] * allowed[..., None, :]
    # a target that does not count costs nothing, whichever output it takes
    costs = ops.where(fits > 0, costs, _NEVER) * counts[..., None]
    ways = list(itertools.permutations(range(num_outputs), num_targets))
    chosen = ops.one_hot(ops.array(ways, dtype='int32'), num_outputs, dtype=costs.dtype)
    # a way is a matrix of 0 and 1; its total is the sum of the costs at the ones: a product
    flat = ops.reshape(costs, (*ops.shape(costs)[:-2], num_targets * num_outputs))
    totals = ops.matmul(flat, ops.transpose(ops.reshape(chosen, (len(ways), -1))))
    return ops.take(chosen, ops.argmin(totals, axis=-1), axis=0) * fits


def _present(targets):
    """Tells which targets count: float [..., T] of [..., T, H, W]."""
    return ops.cast(ops.any(targets > 0.5, axis=(-2, -1)), 'float32')
