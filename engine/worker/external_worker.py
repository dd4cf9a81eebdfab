"""Attempts that run elsewhere: an actor of the user's, in a worker of the user's own.

The claim is made there, before the actor's own code is called, and settled there after it: so a
doubled message runs once, a dead worker's step is taken from it, and late results are stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.core.status import StepStatus
from engine.definition.model import ACTOR_QUEUE
from engine.errors import StaleClaim
from engine.flow.definition_cache import Versions
from engine.flow.expression_scope import Scope
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.settings import Settings
from engine.steps.context import Context
from engine.store.db.database import Database
from engine.store.writes import executions, step_runs
from engine.store.writes.step_runs import Ticket
from engine.worker.attempt import Outcome, Released, failed, returned
from engine.worker.claim import Claimer
from engine.worker.claim_registry import Claim, Claims
from engine.worker.complete import Completer
from engine.worker.prepare import Broken, Call, prepare
from engine.worker.work import ExecutionContext, Work


@dataclass(slots=True)
class ExternalAttempt:
    """One attempt under way in a worker of the user's own."""

    work: Work
    claim: Claim
    context: Context


class ExternalWorker:
    """Claims and settles in the name of one worker process of the user's own. Thread-safe."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        versions: Versions,
        worker_id: str,
        claims: Claims,
    ) -> None:
        self._database = database
        self._versions = versions
        self._claims = claims
        self._limit = settings.payload_limit
        journal = Journal(versions)
        self._claimer = Claimer(settings, database, claims, worker_id, journal)
        self._completer = Completer(settings, database, versions, self._claimer, journal)

    def begin(self, ticket: Ticket) -> ExternalAttempt | None:
        """Claim the step run; None when the message is stale or doubled: nothing is to be done."""
        work = self._load(ticket)
        if work is None:
            return None
        try:
            claim = self._claimer.claim(work)
        except StaleClaim:
            return None
        visit = ExternalAttempt(work, claim, work.context(claim, self._database.now))
        if isinstance(work.prepared, Broken):
            # Rescue sends the messages of its end: there is nobody here to do it.
            self.end(visit, None, work.prepared.error, released=False)
            return None
        return visit

    def end(
        self, visit: ExternalAttempt, result: Any, error: BaseException | None, *, released: bool
    ) -> Sends:
        """Settle what came of the actor's call and return the messages to send.

        Args:
            visit: the attempt.
            result: what the actor returned.
            error: what it raised.
            released: its worker stops: the claim goes back.
        """
        sends = Sends()
        try:
            outcome = self._outcome(visit, result, error, released=released)
            sends.now += self._completer.complete(visit.work, visit.claim, outcome, sends).ready
        except StaleClaim:
            pass  # it was taken away meanwhile: whoever took it has settled it
        finally:
            self._claims.drop(visit.claim)
        return sends

    def _outcome(
        self, visit: ExternalAttempt, result: Any, error: BaseException | None, *, released: bool
    ) -> Outcome:
        if released:
            return Released()
        if error is not None:
            return failed(error)
        return returned(result, visit.work.step, self._limit, visit.context)

    def _load(self, ticket: Ticket) -> Work | None:
        pinned, run = self._database.read(
            lambda connection: (
                executions.pinned(connection, ticket.execution_id),
                step_runs.get(connection, ticket.key),
            )
        )
        if pinned is None or run is None or run.epoch != ticket.epoch:
            return None
        if run.status is not StepStatus.QUEUED or run.queue != ACTOR_QUEUE:
            return None
        definition = self._versions.get(pinned.workflow_id, pinned.version)
        scope = Scope(self._database, pinned, definition)
        execution = ExecutionContext.begin(pinned, definition, scope, until=0.0)
        step = definition.steps[run.step]
        prepared = prepare(step, run, scope)
        return Work(execution, step, run, prepared) if isinstance(prepared, Call | Broken) else None
