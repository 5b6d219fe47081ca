"""Prepares a data set while its archives are streamed for the first time.

The thread that reads an archive does what a worker of a build does, `shard.build_archive`, and the
stream takes the examples as they are written. So the staging place is that of a build: an archive
that was stopped is not in it, one that is whole is used by the next build or stream. Once all are
whole, a build finds them there, and has nothing left to do but to put the data set in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping

from segment_anything_tfds.prepare import accounts
from segment_anything_tfds.prepare.shards import fault_log, shard
from segment_anything_tfds.prepare.staging import driver
from segment_anything_tfds.source import faults
from segment_anything_tfds.source.access import positioned
from segment_anything_tfds.streaming.parts import archive_examples, prepared_shards, raw_bytes
from segment_anything_tfds.streaming.parts.ahead import Put
from segment_anything_tfds.streaming.parts.cursors import Cursor
from segment_anything_tfds.streaming.parts.parts import Part, Policy


class _Hold:
    """The right to write to a staging place, held by a thread as long as anybody writes.

    A lock belongs to the thread that took it, and the threads of a stream come and go.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._changed = threading.Condition()
        self._writers = 0
        self._run: str | None = None  # of the driver, while it is held
        self._error: Exception | None = None
        self._held = False

    @contextlib.contextmanager
    def writing(self) -> Iterator[str]:
        """Gives the name of the run that writes; one for all that write meanwhile."""
        # Who comes first starts a thread that takes the right and names a run. When the last one
        # leaves, that thread gives the right back, and the last one waits for it. Who comes in
        # between finds no run, waits too, and then starts another thread.
        with self._changed:
            self._writers += 1
            try:
                while self._run is None:
                    if not self._held:
                        self._held, self._error = True, None
                        threading.Thread(target=self._hold, name='sa1b-keep', daemon=True).start()
                    self._changed.wait()
                    if self._error is not None:
                        raise self._error
                run = self._run
            except BaseException:
                self._writers -= 1
                raise
        try:
            yield run
        finally:
            with self._changed:
                self._writers -= 1
                self._changed.notify_all()
                while self._held and not self._writers:
                    self._changed.wait()

    def wait(self) -> None:
        """Waits until nobody writes and the right is given back."""
        with self._changed:
            while self._held:
                self._changed.wait()

    def _hold(self) -> None:
        try:
            with driver.hold(self._folder) as runs:
                run = runs.start()
                with self._changed:
                    self._run = run
                    self._changed.notify_all()
                    while self._writers:
                        self._changed.wait()
                    self._run = None
        except Exception as error:
            self._error = error
        with self._changed:
            self._held, self._run = False, None
            self._changed.notify_all()


class Keeper:
    """Keeps the shards of the archives of a stream, and prepares the data set of them."""

    def __init__(
        self,
        plan: shard.Plan,
        policy: Policy,
        parts: Mapping[int, Part],
        *,
        find_prepared: Callable[[], Mapping[int, Part]],
        publish: Callable[[], None],
    ):
        """Prepares the keeper.

        Args:
          plan: that of a build.
          policy: how archives are read.
          parts: what the stream reads, by number.
          find_prepared: gives the archives that are prepared, by number, once that is published.
          publish: builds the data set from what is in the staging place.
        """
        self._plan, self._policy, self._parts = plan, policy, dict(parts)
        self._find_prepared, self._publish = find_prepared, publish
        self._hold = _Hold(plan.staging.folder)
        self._lock = threading.Lock()
        self._published = False

    def current(self, part: Part) -> Part:
        """Gives a part as it is to be read now: from its shard, once that is written."""
        if part.source is None:
            return part
        if (shards := self._staged(part)) is not None:
            return shards
        return self._find_prepared().get(part.number, part)

    def reader(self, part: Part, cursor: Cursor, turn: threading.Lock) -> KeptExamples:
        """Reads a part from a place on, and writes its shard; `turn` as in `Along`."""
        return KeptExamples(part, cursor, self._policy, self, turn)

    @contextlib.contextmanager
    def writing(self) -> Iterator[shard.Plan]:
        """Gives the plan for writing to the staging place, while the block runs.

        Raises:
          RuntimeError: another process builds the data set.
        """
        with self._hold.writing() as run:
            yield dataclasses.replace(self._plan, run=run)

    def finish(self) -> None:
        """Prepares the data set, if all its archives are whole and it is not prepared."""
        with self._lock:
            if self._published:
                return
            archives = [part for part in self._parts.values() if part.source is not None]
            if all(self._staged(part) is not None for part in archives):
                self._hold.wait()  # an archive is whole a moment before its thread ends
                self._publish()
                self._published = True

    def _staged(self, part: Part) -> Part | None:
        found = accounts.Accounts(self._plan.staging, {}).finished(
            part.source, accounts.Demands.of(self._plan)
        )
        if found is None:
            return None
        return prepared_shards.to_part(part.number, found, self._plan.file_format)


class KeptExamples:
    """The examples of an archive, given while its shard is written."""

    def __init__(
        self, part: Part, cursor: Cursor, policy: Policy, keeper: Keeper, turn: threading.Lock
    ):
        self._part, self._cursor, self._policy, self._keeper = part, cursor, policy, keeper
        self._turn = turn
        self._raw = raw_bytes.Opener(policy.links_path, policy.link_wait)
        self._put: Put = lambda item: False
        self._given = 0
        self._is_wanted = True

    def stop(self) -> None:
        """Ends a transfer that waits."""
        self._is_wanted = False
        self._raw.stop()

    def produce(self, put: Put) -> None:
        """Gives the examples, each with the place after it; see `ahead.Ahead`.

        Raises:
          faults.DataError: the archive has faults, all of which are listed.
          OSError: it could not be read or written to the end.
        """
        self._put = put
        along = shard.Along(self._open, self._take, self._on_fault, self._turn)
        with self._keeper.writing() as plan:
            outcome = shard.build_archive(self._part.source, plan, along)
        if not self._is_wanted:
            return
        if not outcome['archives_built']:
            raise archive_examples.told(self._error(plan), self._part.name, self._given)
        self._keeper.finish()

    def _open(self, source, **options) -> positioned.PositionedReader:
        return positioned.PositionedReader(
            source,
            open_raw=self._raw.of(source),
            piece=raw_bytes.PIECE,
            spool_budget=archive_examples.SPOOL_BUDGET,
            **options,
        )

    def _take(self, pieces: list[bytes]) -> None:
        self._given += 1
        if self._given <= self._cursor.given:
            return
        if not self._put((b''.join(pieces), Cursor(self._given, None))):
            self._is_wanted = False
            raise shard.RunIsOver

    def _on_fault(self, fault: faults.Fault) -> None:
        if self._policy.on_error == 'skip' and fault.reason != fault_log.UNFINISHED:
            self._policy.report.add(fault)

    def _error(self, plan: shard.Plan) -> Exception:
        """Tells why the archive was not finished."""
        failure = fault_log.read(plan.staging, self._part.name)
        if failure is None:
            return RuntimeError(
                f'`sa1b.stream`: expected to keep the shard of {self._part.name}; got another '
                f'process that builds in {plan.staging.folder}. Wait until it has ended.'
            )
        found = [*failure.roots, *failure.first]
        if failure.may_pass:
            return OSError('; '.join(fault.detail for fault in found))
        return faults.DataError(found)
