"""What comes of an attempt, in one guarded transaction each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.codec import encode
from engine.errors import EngineError
from engine.flow.finish import output_text
from engine.flow.follow import after_failure, after_success
from engine.flow.journal import Journal
from engine.flow.sends import Sends
from engine.machine import change
from engine.machine import retry as retries
from engine.settings import Settings
from engine.store import artifacts, executions
from engine.store.database import Database
from engine.store.steps import Ticket
from engine.store.turn import Turn
from engine.worker.attempt import Failed, Lost, Outcome, Parked, Released, Returned
from engine.worker.claims import Claim
from engine.worker.insist import settle
from engine.worker.work import Stay, Work

if TYPE_CHECKING:
    from engine.worker.execute import Executor


class Settler:
    """Commits outcomes of claimed step runs and tells what to go on with."""

    def __init__(
        self, settings: Settings, database: Database, executor: Executor, journal: Journal
    ) -> None:
        self._journal = journal
        self._grace = int(settings.cancel_grace_seconds * 1e6)
        self._database = database
        self._executor = executor

    def settle(self, work: Work, claim: Claim, outcome: Outcome, sends: Sends) -> Work | None:
        """Commit ``outcome``; add the messages owed to ``sends``; return the work to go on with.

        Raises:
            StaleClaim: the claim was taken away meanwhile; nothing was changed.
        """
        match outcome:
            case Returned():
                return self._complete(work, claim, outcome, sends)
            case Failed():
                self._fail(work, claim, outcome, sends)
            case Parked(until):
                self._move(claim, lambda _now: change.park(until=until))
            case Released():
                self._move(claim, lambda now: change.release(now=now))
                sends.now.append(work.ticket(claim.epoch + 1))
            case Lost():
                pass  # whoever took the claim has settled it: there is nothing left to say
        return None

    def _complete(self, work: Work, claim: Claim, returned: Returned, sends: Sends) -> Work | None:
        stay = work.stay
        if claim.key.item < 0:
            stay.scope.remember(work.step.index, returned.value)
        following = self._executor.following(work)
        last = stay.steps_left == 1 and claim.key.item < 0
        output, told = _output(stay) if last else (None, False)
        claimed = 0

        def move(taken: Turn) -> list[Ticket]:
            nonlocal claimed
            done = change.complete(now=taken.now, output=returned.text)
            taken.apply(claim.key, claim.epoch, done)
            artifacts.keep(taken, claim.key, claim.attempt, returned.artifacts)
            tickets = after_success(taken, stay.definition, claim.key, ran=True)
            stay.steps_left = taken.head.steps_left
            if told and taken.head.finishable:
                executions.complete(taken, output)
            if following is not None and taken.head.moving:
                riding = self._executor.claim_change(following, taken.now)
                claimed = taken.apply(following.key, following.run.epoch, riding)
            return tickets

        ready = settle(self._database, claim, move, self._journal)
        if ready is None or told:
            return None
        if following is not None and claimed:
            sends.now += [ticket for ticket in ready if ticket.step != following.step.index]
            following.claim = self._executor.held(following, claimed, sent_at=None)
            return following
        return self._executor.go_on(stay, ready, sends)

    def _fail(self, work: Work, claim: Claim, failed: Failed, sends: Sends) -> None:
        policy = work.step.retry
        decision = retries.decide(
            policy,
            attempts=claim.attempt,
            reason=failed.reason,
            error_type=failed.type,
            retryable=failed.retryable,
            seed=f"{claim.key.execution_id}.{claim.key.step}.{claim.key.item}",
        )
        described = {**failed.described, "attempt": claim.attempt, "of": policy.attempts}
        text = encode(described)

        def move(taken: Turn) -> int | None:
            if isinstance(decision, retries.Retry) and taken.head.ending is None:
                again = change.retry(
                    due_at=taken.now + decision.delay_us,
                    reason=failed.reason,
                    error=text,
                    data=described,
                )
                taken.apply(claim.key, claim.epoch, again)
                return decision.delay_us
            over = change.fail(now=taken.now, reason=failed.reason, error=text, data=described)
            taken.apply(claim.key, claim.epoch, over)
            after_failure(
                taken, work.stay.definition, claim.key, error=described, grace=self._grace
            )
            return None

        delay = settle(self._database, claim, move, self._journal)
        if delay is not None:
            sends.later.append((work.ticket(claim.epoch + 1), delay))

    def _move(self, claim: Claim, make: Callable[[int], change.Change]) -> None:
        def move(taken: Turn) -> None:
            ending = taken.head.ending
            made = (
                make(taken.now)
                if ending is None
                else change.revoke(now=taken.now, reason=ending.value)
            )
            taken.apply(claim.key, claim.epoch, made)
            executions.end_if_idle(taken)

        settle(self._database, claim, move, self._journal)


def _output(stay: Stay) -> tuple[str | None, bool]:
    """Return the output and whether it can be told already; a failure is left to ``finish``."""
    try:
        return output_text(stay.definition, stay.scope), True
    except EngineError:
        return None, False
