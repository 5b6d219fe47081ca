"""SA-1B's archives as a Grain `IterDataset`, without TensorFlow in its workers."""

from __future__ import annotations

from typing import Any

try:
    import grain
except ImportError as _error:
    raise ImportError(
        '`sa1b.GrainStream`: expected the package grain; got none. Install it with: '
        'pip install grain'
    ) from _error

from segment_anything_tfds.streaming import numpy_examples, passes, planning, splits


class GrainStream(grain.IterDataset):
    """Streams archives, folders, links and prepared shards into Grain.

    With `mp_prefetch` each worker process reads archives of its own, so that together they give
    each example once; there have to be as many archives as workers. Examples are NumPy values in
    the structure of `tfds.data_source`, the image as the bytes of its JPEG.

    Example:
      >>> dataset = GrainStream('20-29', manual_dir='~/sa1b', seed=0)  # doctest: +SKIP
      >>> dataset = dataset.map(decode).batch(8)  # doctest: +SKIP
    """

    def __init__(
        self,
        archives: splits.Selection = None,
        *,
        num_passes: int | None = 1,
        **options: Any,
    ):
        """Finds what there is to read; an iterator opens it for itself.

        Args:
          archives: a selection such as `'20-29+130'`; as in `sa1b.stream`.
          num_passes: how often the archives are read; with a seed each pass has an order of its
            own. `None` for ever.
          **options: of `sa1b.stream`, all but `decoders` and `keep`.

        Raises:
          ValueError: an argument breaks its rule, or an archive is nowhere.
        """
        super().__init__()
        if given := {'decoders', 'keep'}.intersection(options):
            raise ValueError(
                f'`sa1b.GrainStream`: expected options of a stream for Grain; got '
                f'{", ".join(sorted(given))}. Leave it out: decode in a `map`.'
            )
        self._arguments = archives, options
        self._num_passes = num_passes
        self._numbers = list(planning.make(archives, **options).parts)

    def set_slice(self, sl: slice, sequential_slice: bool = False) -> None:
        """Leaves only some of the archives, as Grain asks in each worker process."""
        del sequential_slice
        self._numbers = self._numbers[sl]

    def __iter__(self) -> grain.DatasetIterator:
        archives, options = self._arguments
        plan = planning.make(archives, **options)
        return _Iterator(plan, self._numbers, self._num_passes)


class _Iterator(grain.DatasetIterator):
    def __init__(self, plan: planning.Plan, numbers: list[int], num_passes: int | None):
        super().__init__()
        self._plan, self._numbers, self._num_passes = plan, numbers, num_passes
        self._index = 0
        self._pass = passes.Pass(plan, numbers)

    def __next__(self) -> dict[str, Any]:
        while self._numbers and self._index != self._num_passes:
            record = next(self._pass, None)
            if record is not None:
                return numpy_examples.parse(record)
            self._index += 1
            self._pass = passes.Pass(self._plan, self._numbers, self._index)
        raise StopIteration

    def get_state(self) -> dict[str, Any]:
        return {'pass': self._index, 'place': self._pass.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        self._pass.close()
        self._index = int(state['pass'])
        self._pass = passes.Pass(self._plan, self._numbers, self._index)
        self._pass.restore(state['place'])
