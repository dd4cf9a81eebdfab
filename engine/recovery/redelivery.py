"""Messages that were lost are sent again, without a new epoch: the first claim wins."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from engine.definition.model import ACTOR_QUEUE
from engine.errors import NotFound, UnreadableVersion
from engine.flow.outgoing import Sends
from engine.recovery.message_loss import QUIET, Evidence, forgot, lost_before
from engine.recovery.sweeper import Sweeper
from engine.store.db.database import Database
from engine.store.recovery import due_executions, liveness, lost_steps
from engine.store.writes import executions, outbox
from engine.store.writes.step_runs import RunRow

LEASE = "rescue"
QUEUES = ("steps", "steps.long", ACTOR_QUEUE)
BATCH = 500
UNKNOWN_AGAIN = 5_000_000  # µs until a step that no live worker knows is looked at again

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Redelivery:
    """One sweep's part of it, in the name of the lease's holder."""

    sweeper: Sweeper
    evidence: Evidence

    @property
    def database(self) -> Database:
        """The database of the sweep."""
        return self.sweeper.database

    def send_lost(self, sends: Sends, now: int, dead_before: int) -> None:
        """Send again what is due and provably has no message on its way."""
        alive = self.database.read(lambda connection: liveness.alive(connection, dead_before))
        forgotten = forgot(self.evidence, self.database, LEASE)
        for queue in QUEUES:
            self._send_steps(sends, queue, now, alive, forgotten=forgotten)
        before = lost_before(self.evidence, "dispatch", alive, now, forgotten=forgotten)
        self._send_dispatches(sends, before, now)
        self._send_notices(sends, min(before, now - QUIET), now)
        self._send_unknown(sends, alive, now)

    def _send_steps(
        self, sends: Sends, queue: str, now: int, alive: liveness.Alive, *, forgotten: bool
    ) -> None:
        before = lost_before(self.evidence, queue, alive, now, forgotten=forgotten)
        rows = self.database.read(
            lambda connection: lost_steps.unclaimed(
                connection, queue, before, now, BATCH, patient=not forgotten
            )
        )
        if not rows:
            return
        _log.info("%d messages of %s were lost: sending them again", len(rows), queue)
        free = self.database.write(lambda connection: lost_steps.sent_again(connection, rows, now))
        sends.now += [run.ticket for run in free]

    def _send_dispatches(self, sends: Sends, before: int, now: int) -> None:
        ids = self.database.read(
            lambda connection: due_executions.undispatched(connection, before, BATCH)
        )
        if ids:
            sends.dispatches += self.database.write(
                lambda connection: due_executions.postpone(connection, ids, now)
            )

    def _send_notices(self, sends: Sends, before: int, now: int) -> None:
        ids = self.database.read(lambda connection: outbox.overdue(connection, before, BATCH))
        if ids:
            sends.dispatches += self.database.write(
                lambda connection: outbox.sent_again(connection, ids, now)
            )

    def _send_unknown(self, sends: Sends, alive: liveness.Alive, now: int) -> None:
        """Send step runs that waited for their code to those who have it now."""
        rows = self.database.read(lambda connection: lost_steps.unknown(connection, now, BATCH))
        if not rows:
            return
        known = [run for run in rows if self._function_of(run) in alive.functions]
        later = now + UNKNOWN_AGAIN
        self.database.write(lambda connection: lost_steps.sent_again(connection, rows, later))
        sends.now += [run.ticket for run in known]

    def _function_of(self, run: RunRow) -> str | None:
        """Return the code that the step run calls, None also when its version does not tell."""
        pinned = self.database.read(
            lambda connection: executions.pinned(connection, run.execution_id)
        )
        if pinned is None:
            return None
        try:
            definition = self.sweeper.versions.get(pinned.workflow_id, pinned.version)
        except (NotFound, UnreadableVersion) as error:
            self.sweeper.quarantine(run.execution_id, error)
            return None
        return definition.steps[run.step].function
