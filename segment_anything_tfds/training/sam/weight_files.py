"""Files of named arrays: PyTorch's `.pth` and `.safetensors`, read tensor by tensor, and written.

A `.pth` is a zip archive without compression:

    archive/data.pkl     names, shapes, and where each tensor's numbers are
    archive/byteorder    `little`, in newer files
    archive/data/0       the numbers of the first storage
    archive/data/1 ...
    archive/version      3
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from segment_anything_tfds.training.sam import pickles

SAFETENSORS = '.safetensors'
# A pickle of protocol 2 that holds the number 0x1950a86a20f9469cfc6c: how files began before 1.6.
_LEGACY = b'\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19'
_NESTED = ('model', 'state_dict', 'model_state_dict')


class Weights(NamedTuple):
    """What is in a file.

    Attributes:
      shapes: of each tensor, by name.
      read: gives the tensor of a name, float32.
    """

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Weights]:
    """Opens a file of weights; the names say nothing yet about what model they are of.

    Args:
      path: a `.safetensors` by its name, else a `.pth`, `.pt` or `.bin` of PyTorch's.

    Yields:
      `Weights`. Their `read` raises ValueError where a tensor's numbers are not whole.

    Raises:
      FileNotFoundError: no such file.
      ValueError: another format, a cut file, or one that holds no named tensors.
    """
    path = pathlib.Path(path)
    if path.suffix == SAFETENSORS:
        with _opened_safetensors(path) as weights:
            yield weights
        return
    with path.open('rb') as file:
        start = file.read(len(_LEGACY))
    if start == _LEGACY:
        raise ValueError('a file of torch.save before PyTorch 1.6. Load it there and save it again')
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        cut = start.startswith(b'PK')
        raise ValueError('a cut file' if cut else 'no file of torch.save') from None
    with archive:
        yield _of_archive(archive)


def _of_archive(archive: zipfile.ZipFile) -> Weights:
    entries = {name.partition('/')[2]: name for name in archive.namelist()}
    if 'data.pkl' not in entries:
        raise ValueError('a zip archive without the data.pkl of torch.save')
    if 'constants.pkl' in entries:
        raise ValueError('a TorchScript program. Save its state_dict() with torch.save')
    with _whole():
        state = pickles.read(_stored(archive, entries, 'data.pkl'))
        order = _stored(archive, entries, 'byteorder') if 'byteorder' in entries else b'little'
    for name in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if isinstance(state, pickles.Unread):
        raise ValueError(f'a pickled {state.name}. Save its state_dict()')
    if not isinstance(state, dict):
        raise ValueError(f'a pickled {type(state).__name__}, no state dict')
    tensors = {
        str(name): value for name, value in state.items() if isinstance(value, pickles.StoredTensor)
    }

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        with _whole():
            content = _stored(archive, entries, f'data/{tensor.storage}')
        return _array(name, tensor, content, '<' if order.strip() == b'little' else '>')

    return Weights({name: tensor.shape for name, tensor in tensors.items()}, read)


def _stored(archive: zipfile.ZipFile, entries: Mapping[str, str], name: str) -> bytes:
    """Reads an entry; PyTorch compresses none, so a small file cannot ask for much memory."""
    if name not in entries:
        raise ValueError(f'a file without its entry {name}')
    entry = archive.getinfo(entries[name])
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f'a zip archive whose entry {name} is compressed')
    return archive.read(entry)


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f'a damaged file ({error})') from None


def _array(name: str, tensor: pickles.StoredTensor, content: bytes, order: str) -> np.ndarray:
    """Gives the numbers of a tensor, float32 and contiguous."""
    import ml_dtypes  # noqa: F401  (NumPy's bfloat16; it comes with Keras)

    dtype = np.dtype(tensor.dtype).newbyteorder(order)
    numbers = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)
    # A view may leave out numbers of its storage, or repeat them: the last one that it reads has
    # to be there.
    last = tensor.offset + sum(
        (side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    count = math.prod(tensor.shape)
    if count > len(numbers) or (count and last >= len(numbers)):
        raise ValueError(f'a tensor {name} of {list(tensor.shape)} with {len(numbers)} numbers')
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view, np.float32)


@contextlib.contextmanager
def _opened_safetensors(path: pathlib.Path) -> Iterator[Weights]:
    import ml_dtypes  # noqa: F401

    safetensors = _import_safetensors()
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}')
    try:
        file = safetensors.safe_open(path, framework='np')
    except safetensors.SafetensorError as error:
        raise ValueError(f'no whole .safetensors ({error})') from None
    with file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        yield Weights(shapes, lambda name: file.get_tensor(name).astype(np.float32))


def save(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays under a temporary name beside the file, then puts it in its place.

    Args:
      path: ends in `.safetensors`, or the file is one of PyTorch's.
      arrays: float32, contiguous, by name.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        if path.suffix == SAFETENSORS:
            _import_safetensors()
            from safetensors import numpy

            numpy.save_file(dict(arrays), temporary, metadata={'format': 'pt'})
        else:
            _save_archive(temporary, arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _save_archive(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        shapes = {name: array.shape for name, array in arrays.items()}
        _add(archive, 'data.pkl', pickles.write(shapes))
        _add(archive, 'byteorder', b'little')
        for index, array in enumerate(arrays.values()):
            content = np.ascontiguousarray(array, '<f4')
            _add(archive, f'data/{index}', content.tobytes())
        _add(archive, 'version', b'3\n')


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Adds a file without a date, as PyTorch does: equal weights make equal bytes."""
    archive.writestr(zipfile.ZipInfo(f'archive/{name}'), content)


def _import_safetensors():
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            "Files of safetensors need the extra: pip install 'segment-anything-tfds[training]'"
        ) from None
    return safetensors
