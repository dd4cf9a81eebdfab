"""Claim step runs for this worker: alone, or in the commit of the one before."""

from __future__ import annotations

import time
from typing import Any

from engine import steps
from engine.core import transitions
from engine.core.plan import Apply
from engine.core.status import Reason
from engine.core.transitions import Transition
from engine.definition import Step
from engine.errors import StaleClaim, Unavailable
from engine.flow.journal import Journal
from engine.flow.transaction import commit, commit_fast
from engine.registry import function_names, has_function
from engine.settings import Settings
from engine.steps.attempt_log import AttemptLog
from engine.store.db.database import Database
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.fast_path import FastWrite
from engine.worker.claim_registry import Claim, Claims
from engine.worker.prepare import Call, prepare
from engine.worker.work import ExecutionContext, Work, fresh_run

_BY_FUNCTION = frozenset({"python", "actor"})  # step types that call what modules register
DEADLINE_GRACE = 5_000_000  # µs beyond the timeout after which rescue steps in for the watchdog


class Claimer:
    """Claims in the name of one worker process."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        claims: Claims,
        worker_id: str,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._database = database
        self._claims = claims
        self._worker_id = worker_id
        self._journal = journal

    def claim(self, work: Work) -> Claim:
        """Claim the prepared step run in a commit of its own.

        Raises:
            StaleClaim: another has it, or the execution ends: nothing was changed.
        """
        text = work.prepared.text if isinstance(work.prepared, Call) else None

        def claimed(now: int) -> Transition:
            return transitions.claim(work.run.status, **self.terms(work.step, now), input=text)

        def move(tx: ExecutionTx) -> int:
            # First: PostgreSQL takes it in one trip with the lock. A refusal rolls it back.
            attempts = tx.apply(work.key, work.run.epoch, claimed(tx.now))
            if not tx.state.moving:
                raise StaleClaim("the execution ends or is paused: nothing new starts")
            return attempts

        def short() -> FastWrite:
            now = self._database.now()
            return FastWrite(now, Apply(work.key, work.run.epoch, claimed(now)))

        written = commit_fast(self._database, short, self._journal)
        if written is not None:
            attempts = written.attempts
        else:
            attempts = commit(self._database, work.run.execution_id, move, self._journal)
        # A held step run is due when rescue looks at it again: that says nothing of its message,
        # and lies ahead, where it would make every message that waits look lost.
        was_held = work.run.reason == Reason.UNKNOWN_STEP
        return self.held(work, attempts, sent_at=None if was_held else work.run.due_at)

    def now(self) -> int:
        """Return microseconds since 1970 by the database's clock."""
        return self._database.now()

    def terms(self, step: Step, now: int) -> dict[str, Any]:
        """Return the terms on which this worker claims, as ``transitions.claim`` takes them."""
        return {
            "worker_id": self._worker_id,
            "now": now,
            "deadline": now + int(self.timeout(step) * 1e6) + DEADLINE_GRACE,
        }

    def held(self, work: Work, attempts: int, *, sent_at: int | None) -> Claim:
        """Take note of a claim that committed; ``sent_at`` when a message brought it."""
        claim = Claim(work.key, work.run.epoch, attempts, AttemptLog(clock=self._database.now))
        self._claims.hold(claim, queue=work.run.queue, sent_at=sent_at)
        return claim

    def following(self, work: Work) -> Work | None:
        """Return the dependant that is surely ready once ``work`` completes, prepared, if its
        claim can be part of that commit."""
        if work.run.item >= 0 or not self.may_stay(work.execution, work.run.queue):
            return None
        for index in work.step.dependants:
            step = work.execution.definition.steps[index]
            if _rides(step) and knows(step):
                run = fresh_run(work.run.execution_id, step)
                try:
                    prepared = prepare(step, run, work.execution.scope)
                except Unavailable:
                    return None  # a store that does not answer must not cost what was just done
                return (
                    Work(work.execution, step, run, prepared)
                    if isinstance(prepared, Call)
                    else None
                )
        return None

    def takes_items(self, work: Work) -> bool:
        """Whether the next item of a fan-out can be claimed with the end of ``work``, an item."""
        return (
            work.run.item >= 0
            and work.step.cache is None
            and self.may_stay(work.execution, work.run.queue)
        )

    def may_stay(self, execution: ExecutionContext, queue: str) -> bool:
        """Whether this thread may take one more step run of the execution without a message."""
        return queue == "steps" and time.monotonic() < execution.until and not self._claims.draining

    def timeout(self, step: Step) -> float:
        """Return how many seconds the step's code may take."""
        return step.timeout or self._settings.step_timeout_seconds


def _rides(step: Step) -> bool:
    """Whether the step is surely to be run once its only need has completed."""
    plain = not step.handles and step.cache is None and step.for_each is None
    return plain and len(step.needs) == 1 and step.queue == "steps" and step.uses != "actor"


def knows(step: Step) -> bool:
    """Whether this process has the code of the step."""
    if step.uses in _BY_FUNCTION:
        return step.function is None or has_function(step.function)
    return steps.has(step.uses)


def known_code() -> list[str]:
    """Return the code that this process has and others may not, as steps name it, sorted."""
    return sorted([*function_names(), *steps.added()])
