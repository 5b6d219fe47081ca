"""Notes which process drives a build, so that the next one can clear up if it was killed."""

from __future__ import annotations

import json
import os
import socket

from etils import epath

from segment_anything_tfds.prepare import staging as staging_lib


def take_over(staging: staging_lib.Staging, unfinished: epath.Path) -> None:
    """Notes this process as the driver, and removes the unfinished data set of a dead one.

    TFDS writes into a folder with a random name and removes it at the end, unless it is killed.

    Args:
      staging: where the note is kept.
      unfinished: the folder that TFDS has made for this process.
    """
    note = epath.Path(staging.folder) / 'driver.json'
    earlier = staging_lib.read_json(note)
    if earlier is not None and _is_dead(earlier) and earlier['folder'] != str(unfinished):
        epath.Path(earlier['folder']).rmtree(missing_ok=True)
    ours = {'host': socket.gethostname(), 'pid': os.getpid(), 'folder': str(unfinished)}
    staging_lib.write_text(note, json.dumps(ours))


def _is_dead(driver: dict) -> bool:
    if driver['host'] != socket.gethostname():
        return False
    try:
        os.kill(driver['pid'], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
