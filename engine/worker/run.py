"""Carry out step runs: prepare, claim, call user code, complete, go on with what became ready.

No transaction is open while user code runs. Each outcome is committed in one guarded transaction;
when a dependant is surely ready then, its claim is part of it, so that a chain of short steps needs
no trip through Redis between two of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from engine import failpoints
from engine.codec import decode, encode
from engine.core import transitions
from engine.core.planning import WINDOW
from engine.core.stall import claim_name
from engine.core.status import Reason, StepStatus
from engine.definition.model import ACTOR_QUEUE
from engine.errors import EngineError, StaleClaim, StepError, Unavailable
from engine.flow.definition_cache import Versions
from engine.flow.error_format import describe_error
from engine.flow.expiry import expire
from engine.flow.expression_scope import Scope
from engine.flow.finish import finish
from engine.flow.journal import Journal
from engine.flow.outgoing import ActorCall, Look, Sends
from engine.flow.transaction import after_failure, after_success, commit
from engine.registry import ACTOR
from engine.settings import Settings
from engine.steps.watchdog import Watchdog
from engine.store.db.database import Database
from engine.store.writes import executions, result_cache, step_runs
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.executions import Pinned
from engine.store.writes.step_runs import RunRow, Ticket
from engine.worker.attempt import Outcome, failed, run_attempt
from engine.worker.claim import Claimer, knows
from engine.worker.claim_registry import Claim, Claims
from engine.worker.complete import Completer
from engine.worker.decide import decide
from engine.worker.fan_out import Expander
from engine.worker.prepare import Broken, Call, Expand, Reject, Skip, prepare
from engine.worker.vital_signs import VitalSigns
from engine.worker.work import ExecutionContext, Work

# How many threads may stay with one execution for the whole time. Of more each has its share: 256
# messages then hold 16 threads for 0.2 s in all, not for 3 s.
SIDE_BY_SIDE = 16
EXPIRED = Skip(Reason.EXPIRED)
# µs that a step whose code this worker has not is held. It is sent again only while a live worker
# has the code, so this is short: of an old and a new worker the old one may take it many times.
HOLD = 2_000_000


class Executor:
    """Runs tickets for one worker process. Thread-safe."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        versions: Versions,
        worker_id: str,
        claims: Claims,
        look: Callable[[Look], None],
        lanes: Callable[[str], int] = lambda _queue: WINDOW,
        signs: VitalSigns | None = None,
    ) -> None:
        """Take what it works with; ``lanes`` tells how many threads are free for items of a queue,
        the one that asks included; ``signs`` are told who works for whom."""
        self._settings = settings
        self._database = database
        self._versions = versions
        self._claims = claims
        self._look = look
        self._watchdog = Watchdog()
        self._grace = int(settings.cancel_grace_seconds * 1e6)
        self._journal = Journal(versions)
        self._claimer = Claimer(settings, database, claims, worker_id, self._journal)
        self._completer = Completer(settings, database, versions, self._claimer, self._journal)
        self._expander = Expander(database, self._journal, lanes)
        self._signs = signs

    @property
    def stuck_threads(self) -> int:
        """How many threads ignored their interruption and are lost to this process."""
        return self._watchdog.stuck

    def run(self, ticket: Ticket) -> Sends:
        """Run the ticket's step run and what follows from it; return the messages to send.

        A ticket that is stale or doubled changes nothing; an early one comes back in time.
        """
        sends = Sends()
        work = self._load(ticket, sends)
        while work is not None:
            work = self._advance(work, sends)
        return sends

    # --- load: what the ticket speaks of ------------------------------------------------------

    def _load(self, ticket: Ticket, sends: Sends) -> Work | None:
        pinned, run = self._database.read(
            lambda connection: (
                executions.pinned(connection, ticket.execution_id),
                step_runs.get(connection, ticket.key),
            )
        )
        if pinned is None or run is None or run.epoch != ticket.epoch:
            return None
        if run.status not in (StepStatus.QUEUED, StepStatus.RETRYING, StepStatus.WAITING):
            return None
        early = (run.due_at or 0) - self._database.now()
        if run.status is not StepStatus.QUEUED and early > 0:
            sends.later.append((ticket, early))
            return None
        definition = self._versions.get(pinned.workflow_id, pinned.version)
        execution = ExecutionContext.begin(
            pinned,
            definition,
            Scope(self._database, pinned, definition),
            until=time.monotonic() + self._patience(pinned),
        )
        if _expired(run, self._database.now()):
            return self._expire(Work(execution, definition.steps[run.step], run, EXPIRED), sends)
        return self._prepared(execution, run)

    def _patience(self, pinned: Pinned) -> float:
        """Return for how many seconds this thread may stay with the execution.

        The shorter, the more of its step runs are under way: hundreds of messages may wait before
        another execution's first one, and each of them stands for such a execution.
        """
        share = max(0, min(1.0, SIDE_BY_SIDE / max(pinned.active, 1)))
        return share * self._settings.continuation_ms / 1000

    def _prepared(self, execution: ExecutionContext, run: RunRow) -> Work | None:
        step = execution.definition.steps[run.step]
        if not knows(step):
            self._hold(run)
            return None
        return Work(execution, step, run, prepare(step, run, execution.scope))

    def _hold(self, run: RunRow) -> None:
        def move(tx: ExecutionTx) -> None:
            due_at = tx.now + HOLD
            tx.apply(run.key, run.epoch, transitions.defer(due_at=due_at, first=run.reason is None))

        if run.status is StepStatus.QUEUED:
            # Claimed by one that has the code, or ended, meanwhile: there is nothing to hold.
            with contextlib.suppress(StaleClaim):
                commit(self._database, run.execution_id, move, self._journal)

    # --- advance: one move --------------------------------------------------------------------

    def _advance(self, work: Work, sends: Sends) -> Work | None:
        """Take the step run one move on; return what to go on with, if anything."""
        try:
            match work.prepared:
                case Skip(reason):
                    ready = self._skip(work, reason, sends)
                case Reject(error):
                    ready = self._reject(work, error, sends)
                case Expand(items):
                    ready = self._expander.expand(work, items, sends)
                case Broken():
                    return self._attempt(work, sends)
                case Call():
                    kept = self._kept(work)
                    if kept is not None:
                        ready = self._reuse(work, kept, sends)
                    elif work.step.uses == "actor":
                        ready = self._hand_over(work, sends)
                    else:
                        return self._attempt(work, sends)
            return self._go_on(work.execution, ready, sends)
        except StaleClaim:
            return None
        finally:
            self._tell(work.execution)

    def _go_on(self, execution: ExecutionContext, ready: list[Ticket], sends: Sends) -> Work | None:
        """Keep the first ready step run in hand while there is time, hand on the others."""
        if not ready:
            if execution.steps_left == 0:
                finish(
                    self._database,
                    execution.pinned.id,
                    execution.definition,
                    execution.scope,
                    journal=self._journal,
                    sends=sends,
                )
                sends.drop_dispatch(execution.pinned.id)
            return None
        if execution.outdated or not self._claimer.may_stay(execution, ready[0].queue):
            sends.now += ready
            return None
        sends.now += ready[1:]
        run = self._database.read(lambda connection: step_runs.get(connection, ready[0].key))
        if run is None or run.status is not StepStatus.QUEUED:
            return None
        try:
            return self._prepared(execution, run)
        except Unavailable:
            sends.now.append(ready[0])  # whoever gets it tries again until the store answers
            return None

    def _tell(self, execution: ExecutionContext) -> None:
        """Let pages know that there is news of the execution."""
        pinned = execution.pinned
        self._look(Look(pinned.id, pinned.owner_id, pinned.workflow_id))

    def _commit(
        self, work: Work, move: Callable[[ExecutionTx], list[Ticket]], sends: Sends
    ) -> list[Ticket]:
        return decide(self._database, self._journal, work, move, sends)

    def _skip(self, work: Work, reason: Reason, sends: Sends) -> list[Ticket]:
        def move(tx: ExecutionTx) -> list[Ticket]:
            tx.apply(work.key, work.run.epoch, transitions.skip(now=tx.now, reason=reason))
            return after_success(tx, work.execution.definition, work.key, ran=False).ready

        return self._commit(work, move, sends)

    def _reject(self, work: Work, error: EngineError, sends: Sends) -> list[Ticket]:
        described = describe_error(error)
        text = encode(described)

        def move(tx: ExecutionTx) -> list[Ticket]:
            rejected = transitions.reject(now=tx.now, error=text, data=described)
            tx.apply(work.key, work.run.epoch, rejected)
            return after_failure(
                tx, work.execution.definition, work.key, error=described, grace=self._grace
            )

        return self._commit(work, move, sends)

    def _expire(self, work: Work, sends: Sends) -> Work | None:
        try:
            ready = self._commit(
                work,
                lambda tx: expire(tx, work.execution.definition, work.run, grace=self._grace),
                sends,
            )
        except StaleClaim:
            return None
        sends.now += ready
        return None

    def _hand_over(self, work: Work, sends: Sends) -> list[Ticket]:
        """Send the step run to the user's actor. Asked again, it is only sent again."""
        assert isinstance(work.prepared, Call)
        text, run = work.prepared.text, work.run

        def move(tx: ExecutionTx) -> list[Ticket]:
            handed = transitions.delegate(run.status, now=tx.now, input=text)
            tx.apply(work.key, run.epoch, handed)
            return []

        if run.queue != ACTOR_QUEUE or run.status is not StepStatus.QUEUED:
            self._commit(work, move, sends)
        ticket = replace(work.ticket(run.epoch), queue=ACTOR_QUEUE)
        name = str(work.step.function).removeprefix(ACTOR)
        arguments = {key: v for key, v in work.prepared.params.items() if key != "actor"}
        sends.calls.append(ActorCall(name, arguments, ticket))
        return []

    def _kept(self, work: Work) -> tuple[str, str] | None:
        """Return the earlier result that answers this step run: as JSON, and as its column."""
        assert isinstance(work.prepared, Call)
        keep = work.prepared.keep
        if keep is None or work.claim is not None:
            return None
        owner_id, now = work.execution.pinned.owner_id, self._database.now()
        found = self._database.read(
            lambda connection: result_cache.find(connection, owner_id, keep.key, now)
        )
        scope, what = work.execution.scope, f"steps.{work.step.name}: the cached result"
        try:
            text = None if found is None else scope.whole(found, what)
            return None if text is None else (text, scope.keep(text, work.run, "output", what))
        except StepError:
            return None  # it went with the execution that it came from

    def _reuse(self, work: Work, result: tuple[str, str], sends: Sends) -> list[Ticket]:
        text, kept = result
        if work.run.item < 0:
            work.execution.scope.remember(work.step.index, decode(text))

        def move(tx: ExecutionTx) -> list[Ticket]:
            reused = transitions.reuse(work.run.status, now=tx.now, output=kept)
            tx.apply(work.key, work.run.epoch, reused)
            return after_success(tx, work.execution.definition, work.key, ran=True).ready

        return self._commit(work, move, sends)

    # --- attempt: claim, call, settle ---------------------------------------------------------

    def _attempt(self, work: Work, sends: Sends) -> Work | None:
        if work.claim is None:
            work.claim = self._claimer.claim(work)
            self._tell(work.execution)
        try:
            if failpoints.armed:
                failpoints.reach("between_claim_and_run")
            outcome = self._call(work, work.claim)
            if failpoints.armed:
                failpoints.reach("after_effect")
            completion = self._completer.complete(work, work.claim, outcome, sends)
        finally:
            self._claims.drop(work.claim)
        if completion.claimed is not None:
            sends.now += completion.ready
            return completion.claimed
        return self._go_on(work.execution, completion.ready, sends) if completion.open else None

    def _call(self, work: Work, claim: Claim) -> Outcome:
        if isinstance(work.prepared, Broken):
            return failed(work.prepared.error)
        assert isinstance(work.prepared, Call)
        return run_attempt(
            work.step,
            work.prepared.params,
            claim,
            work.context(claim, self._database.now),
            timeout=self._claimer.timeout(work.step),
            limit=self._settings.payload_limit,
            watchdog=self._watchdog,
            mark=self._signs.mark(claim_name(claim.key, claim.epoch)) if self._signs else None,
        )


def _expired(run: RunRow, now: int) -> bool:
    waited = now - (run.queued_at or now)
    return (
        run.status is StepStatus.QUEUED and run.expires_in is not None and waited > run.expires_in
    )
