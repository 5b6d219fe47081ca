"""SA-1B's archives as a PyTorch `IterableDataset`, without TensorFlow in its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

try:
    from torch.utils import data as torch_data
except ImportError as _error:
    raise ImportError(
        '`sa1b.TorchStream`: expected the package torch; got none. Install it as '
        'https://pytorch.org says.'
    ) from _error

from segment_anything_tfds.streaming import numpy_examples, passes, planning, splits


class TorchStream(torch_data.IterableDataset):
    """Streams archives, folders, links and prepared shards into a `DataLoader`.

    Each worker reads archives of its own, so that together they give each example once; workers
    beyond the number of archives have nothing to do. Examples are NumPy values in the structure of
    `tfds.data_source`, the image as the bytes of its JPEG.

    Example:
      >>> dataset = TorchStream('20-29', manual_dir='~/sa1b', seed=0)  # doctest: +SKIP
      >>> loader = torch.utils.data.DataLoader(
      ...     dataset, batch_size=None, num_workers=4)  # doctest: +SKIP
    """

    def __init__(
        self,
        archives: splits.Selection = None,
        *,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        **options: Any,
    ):
        """Finds what there is to read; a worker opens it for itself.

        Args:
          archives: a selection such as `'20-29+130'`; as in `sa1b.stream`.
          transform: called with each example, in the worker; what it returns is given instead.
          **options: of `sa1b.stream`, all but `decoders` and `keep`.

        Raises:
          ValueError: an argument breaks its rule, or an archive is nowhere.
        """
        super().__init__()
        if given := {'decoders', 'keep'}.intersection(options):
            raise ValueError(
                f'`sa1b.TorchStream`: expected options of a stream for PyTorch; got '
                f'{", ".join(sorted(given))}. Leave it out: `transform` decodes.'
            )
        self._arguments = archives, options
        self._transform = transform
        self._next = 0  # number of the next pass
        self._pass: passes.Pass | None = None
        self._state: str | None = None
        self._numbers = list(self._plan().parts)

    def set_epoch(self, epoch: int) -> None:
        """Shuffles the next pass as pass number `epoch`; call it before each `iter(loader)`."""
        self._next = int(epoch)

    def __iter__(self) -> Iterator[Any]:
        info = torch_data.get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        numbers = self._numbers[worker::workers]
        self._pass = passes.Pass(self._plan(), numbers, self._next)
        self._next += 1
        if self._state is not None:
            self._pass.restore(self._state)
            self._state = None
        return self._examples(self._pass)

    def state_dict(self) -> dict[str, Any]:
        """Tells where this worker stands, for torchdata's `StatefulDataLoader`."""
        return {
            'epoch': max(0, self._next - 1) if self._pass is not None else self._next,
            'state': None if self._pass is None else self._pass.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next iteration go on where `state_dict` was taken."""
        self._next, self._state = state['epoch'], state['state']

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_pass': None}

    def _plan(self) -> planning.Plan:
        archives, options = self._arguments
        return planning.make(archives, **options)

    def _examples(self, records: passes.Pass) -> Iterator[Any]:
        try:
            for record in records:
                example = numpy_examples.parse(record)
                yield example if self._transform is None else self._transform(example)
        finally:
            records.close()
