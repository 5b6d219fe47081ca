"""Ctrl-C while the main thread waits inside TensorFlow, where Python does not hear it.

A signal's handler runs in the main thread, between two steps of Python. While that thread waits in
TensorFlow for an example that does not come, as from a line that is dead, there is no next step.
But Python writes each signal's number to a file descriptor at once, if it was given one: a thread
reads it there, the waiting reader gives up, the main thread returns, and the handler runs.
"""

from __future__ import annotations

import signal
import socket
import threading

_count = 0
_sockets: tuple[socket.socket, socket.socket] | None = None


def listen() -> None:
    """Counts Ctrl-C from now on; needs the main thread, and that nobody else listens (asyncio)."""
    global _sockets
    if threading.current_thread() is not threading.main_thread():
        return
    if _sockets is None:
        _sockets = socket.socketpair()
        # Python writes to the second, which must not block; the thread waits at the first.
        for end in _sockets:
            end.setblocking(end is _sockets[0])
        threading.Thread(target=_hear, args=(_sockets[0],), name='sa1b-ctrl-c', daemon=True).start()
    mine = _sockets[1].fileno()
    other = signal.set_wakeup_fd(mine, warn_on_full_buffer=False)
    if other not in (-1, mine):  # somebody else listens, and goes on to
        signal.set_wakeup_fd(other)


def count() -> int:
    """Counts how many there were."""
    return _count


def check(earlier: int) -> None:
    """Raises KeyboardInterrupt where there were more than `earlier`."""
    if _count > earlier:
        raise KeyboardInterrupt


def _hear(end: socket.socket) -> None:
    global _count
    while numbers := end.recv(16):
        _count += numbers.count(signal.SIGINT)
