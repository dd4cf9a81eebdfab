"""What comes of an attempt, in one guarded transaction each."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from engine.codec import encode
from engine.core import failures, transitions
from engine.core.failures import Failure
from engine.errors import EngineError, StaleClaim, StepError, Unavailable
from engine.flow import error_text
from engine.flow.definition_cache import Versions
from engine.flow.finish import complete, output_text
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.flow.transaction import after_failure, after_success, end_if_idle
from engine.settings import Settings
from engine.steps import ChildWanted, Park, SignalWanted
from engine.store.db.database import Database
from engine.store.writes import artifacts, executions, result_cache, signals
from engine.store.writes.carry_out import Carried
from engine.store.writes.execution_tx import ExecutionTx, Line
from engine.store.writes.executions import NewExecution
from engine.store.writes.signals import Wanted
from engine.store.writes.step_runs import Ticket
from engine.worker.attempt import (
    Cancelled,
    Lost,
    Outcome,
    Parked,
    Released,
    Returned,
    failed,
)
from engine.worker.chaining import Chaining
from engine.worker.claim import Claimer
from engine.worker.claim_registry import Claim
from engine.worker.commit_retry import insist_on_commit
from engine.worker.prepare import Call
from engine.worker.store_result import keep
from engine.worker.subworkflows import Children, waiting_for, word_of
from engine.worker.work import ExecutionContext, Work

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a completed attempt leaves to do: step runs ready for anyone, and one claimed with it.

    Not ``open``: nothing is left to do here, whatever became of the execution.
    """

    ready: list[Ticket] = field(default_factory=list)
    claimed: Work | None = None
    open: bool = False


OVER = Completion()


class Completer:
    """Commits outcomes of claimed step runs and tells what is left to do."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        versions: Versions,
        claimer: Claimer,
        journal: Journal,
    ) -> None:
        self._journal = journal
        self._grace = int(settings.cancel_grace_seconds * 1e6)
        self._database = database
        self._claimer = claimer
        self._children = Children(database, versions)

    def complete(self, work: Work, claim: Claim, outcome: Outcome, sends: Sends) -> Completion:
        """Commit ``outcome`` and return what it leaves to do; a retry's message goes to ``sends``.

        An outcome that cannot be written down, for a reason that nobody foresaw, is the failure of
        its attempt: left to rescue it would run again and again, and nobody would learn why.

        Raises:
            StaleClaim: the claim was taken away meanwhile; nothing was changed.
            Unavailable: the database stayed away; rescue gives the claim back.
        """
        try:
            return self._write(work, claim, outcome, sends)
        except (StaleClaim, Unavailable):
            raise
        except Exception as error:
            _log.exception("the outcome of %s cannot be written down: it fails instead", claim.key)
            return self._write(work, claim, failed(error), sends)

    def _write(self, work: Work, claim: Claim, outcome: Outcome, sends: Sends) -> Completion:
        outcome = keep(self._database.payloads, work, claim, outcome)
        match outcome:
            case Returned():
                return self._complete(work, claim, outcome, sends)
            case Failure():
                return self._fail(work, claim, outcome, sends)
            case Parked(park):
                return self._park(work, claim, park, sends)
            case Released():
                self._give_up(work, claim, sends)
                sends.now.append(work.ticket(claim.epoch + 1))
            case Cancelled():
                self._give_up(work, claim, sends)
            case Lost():
                pass  # whoever took the claim has settled it: there is nothing left to say
        return OVER

    def _complete(
        self,
        work: Work,
        claim: Claim,
        returned: Returned,
        sends: Sends,
        child: NewExecution | None = None,
    ) -> Completion:
        execution = work.execution
        if claim.key.item < 0:
            execution.scope.remember(work.step.index, returned.value)
        assert isinstance(work.prepared, Call)
        keep_as = work.prepared.keep
        chaining = Chaining(self._claimer, work)
        last = execution.steps_left == 1 and claim.key.item < 0 and execution.ends_with
        output, told = _output(execution) if last else (None, False)

        def move(tx: ExecutionTx) -> Carried:
            if child is not None and tx.state.stopping:
                return Carried(self._stop(tx, work, claim))
            done = transitions.complete(now=tx.now, output=returned.text)
            tx.apply(claim.key, claim.epoch, done)
            artifacts.keep(tx, claim.key, claim.attempt, returned.kept)
            if keep_as is not None:
                result_cache.keep(tx, keep_as, returned.text)
            if child is not None:
                _admit(tx, child)
            chain = chaining.at(tx.now)
            carried = after_success(tx, execution.definition, claim.key, ran=True, chain=chain)
            execution.follow(tx.state)
            if told:
                complete(tx, execution.definition, output)
            return carried

        plain = child is None and not returned.kept and keep_as is None
        common = chaining.common_case(claim, returned.text) if plain else None
        carried = insist_on_commit(self._database, claim, move, self._journal, sends, common=common)
        if carried is None or (told and not carried.ready):
            return OVER
        return Completion(carried.ready, chaining.claimed(carried.chained), open=True)

    def _fail(self, work: Work, claim: Claim, failure: Failure, sends: Sends) -> Completion:
        execution = work.execution
        verdict = failures.judge(work.step.retry, claim.key, failure, attempt=claim.attempt)

        def move(tx: ExecutionTx) -> tuple[int | None, list[Ticket]]:
            delay = verdict.delay if verdict.retries(tx.state) else None
            tx.log([_verdict(claim, tx.now, verdict.described, delay)])
            tx.apply(claim.key, claim.epoch, verdict.transition(tx.state, now=tx.now))
            if delay is not None:
                return delay, []
            error = verdict.described
            ready = after_failure(
                tx, execution.definition, claim.key, error=error, grace=self._grace
            )
            execution.follow(tx.state)
            return None, ready

        settled = insist_on_commit(self._database, claim, move, self._journal, sends)
        if settled is None:
            return OVER
        delay, ready = settled
        if delay is not None:
            sends.later.append((work.ticket(claim.epoch + 1), delay))
            return OVER
        return Completion(ready, open=True)

    def _park(self, work: Work, claim: Claim, park: Park, sends: Sends) -> Completion:
        wants = park.wants
        child = None
        if isinstance(wants, ChildWanted):
            try:
                child = self._children.wanted(work, claim, wants)
            except StepError as error:
                return self._fail(work, claim, failed(error), sends)
            if not wants.wait:
                started = {"execution": child.id}
                return self._complete(work, claim, Returned(started, encode(started)), sends, child)
        told = {} if wants is None else waiting_for(wants, child)

        def move(tx: ExecutionTx) -> list[Ticket]:
            if tx.state.stopping:
                return self._stop(tx, work, claim)
            parked = transitions.park(
                now=tx.now, until=park.until, wait_for=word_of(wants), data=told
            )
            tx.apply(claim.key, claim.epoch, parked)
            if isinstance(wants, SignalWanted):
                early = Wanted(wants.name, wants.correlation, tx.now - wants.look_back)
                signals.take_early(tx, claim.key, claim.epoch + 1, early)
            if child is not None:
                _admit(tx, child)
            return []

        ready = insist_on_commit(self._database, claim, move, self._journal, sends)
        return OVER if ready is None else Completion(ready, open=True)

    def _give_up(self, work: Work, claim: Claim, sends: Sends) -> None:
        """Give the claim back, or end its step run when the execution ends."""

        def move(tx: ExecutionTx) -> list[Ticket]:
            if tx.state.stopping:
                return self._revoke(tx, work, claim)
            tx.apply(claim.key, claim.epoch, transitions.release(now=tx.now))
            return []

        sends.now += insist_on_commit(self._database, claim, move, self._journal, sends) or []

    def _stop(self, tx: ExecutionTx, work: Work, claim: Claim) -> list[Ticket]:
        """Revoke the claim before anything is begun for it: its execution ends."""
        tickets = self._revoke(tx, work, claim)
        work.execution.follow(tx.state)
        return tickets

    def _revoke(self, tx: ExecutionTx, work: Work, claim: Claim) -> list[Ticket]:
        tx.apply(claim.key, claim.epoch, failures.revoked(tx.state, now=tx.now))
        return end_if_idle(tx, work.execution.definition)


def _admit(tx: ExecutionTx, child: NewExecution) -> None:
    executions.admit(tx.connection, child, tx.now)
    assert child.id is not None
    tx.dispatches.append(child.id)


def _output(execution: ExecutionContext) -> tuple[str | None, bool]:
    """Return the output and whether it can be told already; a failure is left to ``finish``."""
    try:
        return output_text(execution.definition, execution.scope), True
    except EngineError:
        return None, False


def _verdict(claim: Claim, now: int, described: dict[str, Any], delay: int | None) -> Line:
    """Return the log line that tells, among the step's own, how the attempt ended."""
    number, of = described["attempt"], described["of"]
    said = f"attempt {number} of {of} failed: {described['type']}: {described['message']}"
    if delay is None:
        level, what = "error", "no attempts left" if number >= of else "not to be tried again"
    else:
        level, what = "warning", f"attempt {number + 1} in {delay / 1e6:.2f} s"
    key = claim.key
    text = "\n".join([f"{said} · {what}", *error_text.causes(described)])
    return Line(key.step, key.item, claim.attempt, now, level, text)
