"""Reads and writes the pickles of PyTorch's checkpoints without running anything in them.

A pickle is a program for a stack machine, whose instructions may call any function by name. `read`
follows the instructions by `pickletools.genops`, builds containers, numbers and strings, and calls
nothing: a tensor becomes a `StoredTensor`, any other object an `Unread` with its name. For a state
dict of one tensor:

    EMPTY_DICT  MARK  BINUNICODE 'weight'           {           'weight'
    GLOBAL 'torch._utils _rebuild_tensor_v2'                    the name of a function
    MARK  MARK 'storage' FloatStorage '0' 'cpu' 6 TUPLE  BINPERSID      storage '0', 6 numbers
    0  (2, 3)  (3, 1)  False  OrderedDict()  TUPLE              offset, shape, strides, ...
    REDUCE  SETITEMS  STOP                                      StoredTensor; the dict; done
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from typing import Any, NamedTuple

import numpy as np

STORAGES = {
    'FloatStorage': 'float32',
    'HalfStorage': 'float16',
    'BFloat16Storage': 'bfloat16',
    'DoubleStorage': 'float64',
    'LongStorage': 'int64',
    'IntStorage': 'int32',
    'ByteStorage': 'uint8',
    'BoolStorage': 'bool',
}
_MARK = object()
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_EMPTY = {'EMPTY_DICT': dict, 'EMPTY_LIST': list, 'EMPTY_TUPLE': tuple}
_VALUES = {
    'BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT',
    'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'BINBYTES', 'SHORT_BINBYTES',
}  # fmt: skip
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


class StoredTensor(NamedTuple):
    """A tensor that is still in its file.

    Attributes:
      storage: the key of its numbers in the file.
      dtype: of the numbers, as `'float32'`.
      length: numbers in the storage.
      offset: of the first, in numbers.
      shape: of the tensor.
      strides: in numbers.
    """

    storage: str
    dtype: str
    length: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Unread(NamedTuple):
    """An object, or a function, that only code could make."""

    name: str


def read(content: bytes) -> Any:
    """Reads what a pickle of PyTorch's holds.

    Args:
      content: the pickle.

    Returns:
      Containers, numbers, strings, `StoredTensor` and `Unread`.

    Raises:
      ValueError: no pickle, a cut one, or instructions that a state dict does not need.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == 'STOP':
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise ValueError(f'its pickle cannot be read: {error}') from None
    raise ValueError('its pickle ends early')


class _Machine:
    """The stack, the marks in it, and what was memorised."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follows one instruction."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == 'MARK':
            stack.append(_MARK)
        elif name in ('BINPUT', 'LONG_BINPUT', 'MEMOIZE'):
            self.memo[len(self.memo) if name == 'MEMOIZE' else argument] = stack[-1]
        elif name in ('BINGET', 'LONG_BINGET'):
            stack.append(self.memo[argument])
        elif name not in ('PROTO', 'FRAME', 'BINPERSID'):  # the storage's description may stay
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == 'TUPLE':
            stack.append(tuple(self._marked()))
        elif name in ('APPEND', 'APPENDS'):
            values = self._marked() if name == 'APPENDS' else [stack.pop()]
            if isinstance(stack[-1], list):
                stack[-1].extend(values)
        elif name in ('SETITEM', 'SETITEMS'):
            values = self._marked() if name == 'SETITEMS' else [stack.pop(-2), stack.pop()]
            if isinstance(stack[-1], dict):
                stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif name == 'EMPTY_SET':
            stack.append(Unread('set'))
        elif name in ('ADDITEMS', 'FROZENSET'):  # values are added to a set below, or make one
            self._marked()
            stack.extend([Unread('frozenset')] if name == 'FROZENSET' else [])
        elif name == 'GLOBAL':
            stack.append(Unread(argument.replace(' ', '.')))
        elif name == 'STACK_GLOBAL':
            stack[-2:] = [Unread(f'{stack[-2]}.{stack[-1]}')]
        elif name in ('REDUCE', 'NEWOBJ'):
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == 'BUILD':
            stack.pop()  # attributes, as the versions of a state dict's modules
        else:
            raise ValueError(f'instruction {name}')

    def _marked(self) -> list[Any]:
        """Takes off what lies above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError('no mark')
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values


def _made(function: Any, arguments: Any) -> Any:
    """Makes what a call gives, for the three functions that state dicts need."""
    name = function.name if isinstance(function, Unread) else type(function).__name__
    if name == 'collections.OrderedDict':
        return dict(*arguments)
    if name == 'torch._utils._rebuild_parameter':
        return arguments[0]
    if name != 'torch._utils._rebuild_tensor_v2':
        return Unread(name)
    (_, kind, key, _, length), offset, shape, strides = arguments[:4]
    kind = kind.name.rpartition('.')[2]
    if kind not in STORAGES:
        return Unread(kind)
    numbers = (length, offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f'a tensor of {shape} and {strides}')
    return StoredTensor(key, STORAGES[kind], length, offset, tuple(shape), tuple(strides))


def write(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Writes the pickle of a state dict of float32 tensors; storage n is the n-th tensor's.

    Args:
      shapes: of each tensor, by name.

    Returns:
      A pickle of protocol 2, which `torch.load(weights_only=True)` reads.
    """
    parts = [b'\x80\x02}(']  # PROTO 2, EMPTY_DICT, MARK
    for index, (name, shape) in enumerate(shapes.items()):
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
        length = int(np.prod(shape))
        parts += [_text(name), b'ctorch._utils\n_rebuild_tensor_v2\n((', _text('storage')]
        parts += [b'ctorch\nFloatStorage\n', _text(str(index)), _text('cpu'), _int(length), b'tQ']
        parts += [_int(0), _ints(shape), _ints(strides)]
        parts.append(b'\x89ccollections\nOrderedDict\n)RtR')  # NEWFALSE, an empty dict; call
    return b''.join([*parts, b'u.'])  # SETITEMS, STOP


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack('<I', len(encoded)) + encoded


def _int(value: int) -> bytes:
    return pickle.BININT + struct.pack('<i', value)


def _ints(values) -> bytes:
    return b'(' + b''.join(map(_int, values)) + b't'
