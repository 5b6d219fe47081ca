"""Hides the lines that TensorFlow logs while it is imported, except errors."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# What C++ writes to the standard error, whatever TF_CPP_MIN_LOG_LEVEL says in TensorFlow 2.21:
#   WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
#   I0000 00:00:1795282402.743901    7000 port.cc:153] oneDNN custom operations are on. ...
# Errors (E) and what is no line of a log stay, but for drivers that a machine without GPU has not.
_CHATTER = re.compile(
    rb'WARNING: All log messages before absl::'
    rb'|[IW]\d{4} \d\d:\d\d:\d'
    rb'|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IW] '
    rb'|To enable the following instructions:'
    rb'|E\d{4} .*(cuInit|[Uu]nable to register cu\w+ (plugin )?factory)'
)


def import_tensorflow() -> None:
    """Imports TensorFlow and lists devices; of what it logs, only errors are shown."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    logging.getLogger().setLevel(logging.ERROR)
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)
    with _without_chatter():
        import tensorflow as tf

        tf.constant(0)


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Filters lines of TensorFlow's log out of the standard error."""
    if sys.__stderr__ is None:
        yield
        return
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            held.seek(0)
            os.write(2, b''.join(line for line in held if not _CHATTER.match(line)))
