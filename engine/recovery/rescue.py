"""Find what is due and has nobody to carry it out; harmless when it is wrong.

A sweep takes claims from workers that died and overdue threads (a new epoch makes what they still
send stale), wakes what is parked, and sends messages again. A message is sent again only on
evidence that it was lost, and without a new epoch: the first claim wins, so that under backlog
no queued message is made stale, which would be a livelock.

It goes by stages, each of which looks after many executions. What fails, fails for itself: an
execution that cannot be moved is left alone for a while, told of, and stops neither the others of
its stage nor the stages after it; their messages are sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.codec import encode
from engine.errors import EngineError, Unavailable
from engine.flow.definition_cache import Versions
from engine.flow.outgoing import Look, Sends
from engine.recovery.due_executions import DueExecutions
from engine.recovery.due_steps import DueSteps
from engine.recovery.lost_claims import LostClaims
from engine.recovery.message_loss import Evidence, forgot
from engine.recovery.redelivery import LEASE, Redelivery
from engine.recovery.sweeper import Sweeper
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.recovery import liveness, precheck
from engine.store.writes.step_runs import RunRow

SWEEPS = 5  # for which the lease to sweep holds: when its holder dies, another goes on after them
SHOWN = 50  # executions that could not be looked after and are named, beside their number

Stage = Callable[[Sends], None]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rescue:
    """Sweeps for one worker process, while it holds the lease.

    ``interrupted`` says whether the database went away during the last sweep.
    """

    settings: Settings
    database: Database
    versions: Versions
    evidence: Evidence
    look: Callable[[Look], None]
    interrupted: bool = False
    _sweeper: Sweeper = field(init=False)
    _failing: dict[str, str] = field(default_factory=dict)  # stages, and what they said last
    _noted: str | None = None  # what was noted last of executions that cannot be looked after

    def __post_init__(self) -> None:
        self._sweeper = Sweeper(self.settings, self.database, self.versions, self.look)

    def sweep(self, holder: str, *, steady: bool) -> Sends:
        """Sweep once if the lease is ``holder``'s; return the messages to send.

        Args:
            holder: the worker's id.
            steady: whether the worker's own beats have committed without a gap for a whole
                lease. If not, a database that was away is likelier than the death of others.

        Raises:
            Unavailable: the database does not answer; nothing was done.
        """
        sends = Sends()
        self.interrupted = False
        now = self.database.now()
        if not self._holds_lease(holder, now):
            self._noted = None
            return sends
        if not self.database.read(lambda connection: precheck.anything_due(connection, now)):
            # Noted, or it would count against messages yet to be sent.
            self._run("evidence", lambda _: self._note_generation(), sends)
        else:
            for name, stage in self._stages(now, steady=steady):
                if not self.interrupted:
                    self._run(name, stage, sends)
        if not self.interrupted:
            self._run("note", lambda _: self._note_faulty(now), sends)
        return sends

    def _stages(self, now: int, *, steady: bool) -> list[tuple[str, Stage]]:
        dead_before = now - int(self.settings.lease_seconds * 1e6)
        claims, due = LostClaims(self._sweeper), DueSteps(self._sweeper)
        ends, redelivery = (
            DueExecutions(self._sweeper),
            Redelivery(self._sweeper, self.evidence),
        )
        return [
            (
                "lost claims",
                lambda sends: claims.take_back(sends, dead_before if steady else None),
            ),
            ("last chances", claims.try_last_chance),
            ("overdue claims", lambda sends: claims.end_overdue(sends, now)),
            ("parked steps", lambda sends: due.wake(sends, now)),
            ("fan-outs", lambda sends: due.widen(sends, now)),
            ("expired steps", lambda sends: due.expire(sends, now)),
            ("deadlines", lambda sends: ends.end_late(sends, now)),
            ("ends", lambda sends: ends.end_executions(sends, now)),
            ("lost messages", lambda sends: redelivery.send_lost(sends, now, dead_before)),
        ]

    def _run(self, name: str, stage: Stage, sends: Sends) -> None:
        """Run one stage; the messages of what it did before it failed are sent all the same."""
        try:
            stage(sends)
        except Unavailable as error:
            self.interrupted = True
            self._tell(name, error.message)
        except EngineError as error:
            self._tell(name, error.message)
        except Exception as error:  # whatever it is, the other stages have nothing to do with it
            self._tell(name, f"{type(error).__name__}: {error}", error)
        else:
            self._failing.pop(name, None)

    def _tell(self, name: str, why: str, error: Exception | None = None) -> None:
        """Log that a stage failed: once, for it may fail each second."""
        if self._failing.get(name) != why:
            self._failing[name] = why
            _log.warning("rescue of %s failed, trying again: %s", name, why, exc_info=error)

    def _note_generation(self) -> None:
        forgot(self.evidence, self.database, LEASE)

    def _note_faulty(self, now: int) -> None:
        """Let others see which executions could not be looked after."""
        faulty = self._sweeper.faulty()
        shown = [{"execution": name, "why": faulty[name]} for name in sorted(faulty)[:SHOWN]]
        noted = encode({"count": len(faulty), "shown": shown})
        if noted != self._noted:
            self.database.write(lambda connection: liveness.write_faulty(connection, noted, now))
            self._noted = noted

    def _holds_lease(self, holder: str, now: int) -> bool:
        """Return whether the lease is the holder's for this sweep; take it when it is free.

        Each worker asks each second, so it looks first, and renews a lease only when half is over.
        """
        length = int(self.settings.sweep_seconds * SWEEPS * 1e6)
        found = self.database.read(lambda connection: liveness.lease(connection, LEASE))
        if found is not None and found.until >= now:
            if found.holder != holder:
                return False
            if found.until > now + length // 2:
                return True
        return self.database.write(
            lambda connection: liveness.take_lease(connection, LEASE, holder, now, length)
        )

    def give_back(self, run: RunRow) -> Sends:
        """Give back a claim that no thread of this worker works on: its commit was lost.

        It counts as a crash, so that a step whose commit fails each time comes to an end.
        """
        sends = Sends()
        LostClaims(self._sweeper).give_back(run, sends)
        return sends

    def end_now(self, execution_id: str, sends: Sends) -> None:
        """Revoke what still runs of an execution that was told to end, and end it."""
        DueExecutions(self._sweeper).end_now(execution_id, sends)
