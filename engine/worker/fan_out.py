"""Make the items of a fan-out, and open its window on them.

At first only as many are queued as threads have nothing else to do. Whoever completes an item takes
the next one along in that commit, so that short items cost no messages, and busy threads that have
an execution each do not all wait for the lock of one. A fan-out that has not ended after a second
is opened wider by rescue: its items may be long, and threads that were busy or not there yet must
find them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.core import transitions
from engine.core.planning import ITEM_CHUNK, expires_in, window_end, window_of
from engine.core.status import StepStatus
from engine.errors import StaleClaim
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.flow.transaction import after_success
from engine.io import payloads
from engine.store.db.database import Database
from engine.store.writes import fan_outs, step_runs
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.fan_outs import NewItem
from engine.store.writes.step_runs import Ticket
from engine.worker.decide import decide
from engine.worker.prepare import input_of_item
from engine.worker.work import Work


class Expander:
    """Expands fan-outs in the name of one worker process."""

    def __init__(self, database: Database, journal: Journal, lanes: Callable[[str], int]) -> None:
        """Take what it works with; ``lanes`` tells how many threads are free for items of a queue,
        the one that asks included."""
        self._database = database
        self._journal = journal
        self._lanes = lanes

    def expand(self, work: Work, items: list[str], sends: Sends) -> list[Ticket]:
        """Make the items' rows in chunks, then open the window on them in one move.

        Raises:
            StaleClaim: another has decided, or the execution ends or is paused.
        """
        kept = self._kept_items(work, items)
        for chunk in _chunks(work, items):
            self._insert_items(work, chunk, sends)
        size = window_of(work.step.max_parallel, len(items))
        first = min(size, max(self._lanes(work.run.queue), 1))
        end = window_end(len(items), first, kept)

        def move(tx: ExecutionTx) -> list[Ticket]:
            expanded = transitions.expand(
                now=tx.now,
                items=len(items),
                left=len(items) - len(kept),
                window=end,
                held=size - first,
            )
            tx.apply(work.key, work.run.epoch, expanded)
            tx.state.runs_total += max(len(items), 1) - 1
            tx.state.runs_done += len(kept)
            if len(kept) < len(items):
                return fan_outs.queue_items(tx, work.key, 0, end)
            joined = transitions.join(now=tx.now, items=len(items))
            tx.apply(work.key, work.run.epoch, joined)
            return after_success(tx, work.execution.definition, work.key, ran=True).ready

        return decide(self._database, self._journal, work, move, sends)

    def _insert_items(self, work: Work, chunk: list[NewItem], sends: Sends) -> None:
        """Make rows of items under the execution's lock, as long as their node is queued."""

        def move(tx: ExecutionTx) -> list[Ticket]:
            run = step_runs.get(tx.connection, work.key)
            if run is None or (run.status, run.epoch) != (StepStatus.QUEUED, work.run.epoch):
                # It ended meanwhile: its items would stay open for ever.
                raise StaleClaim(f"step {work.step.name} is not queued any more")
            expires = expires_in(work.step)
            fan_outs.insert_items(tx.connection, work.key, work.run.queue, chunk, expires)
            return []

        decide(self._database, self._journal, work, move, sends)

    def _kept_items(self, work: Work, items: list[str]) -> set[int]:
        """Return the items that completed in the origin, but those with another value now."""
        if work.execution.pinned.origin_id is None:
            return set()
        found = self._database.read(lambda connection: fan_outs.kept_items(connection, work.key))
        other = [
            item
            for item, value in found.items()
            if item >= len(items) or not payloads.same(items[item], value)
        ]
        if other:
            self._database.write(
                lambda connection: fan_outs.forget_items(connection, work.key, other)
            )
        return set(found) - set(other)


def _chunks(work: Work, items: list[str]) -> Iterator[list[NewItem]]:
    for start in range(0, len(items), ITEM_CHUNK):
        yield [
            NewItem(item, value, input_of_item(work.step, item, value, work.execution.scope))
            for item, value in enumerate(items[start : start + ITEM_CHUNK], start)
        ]
