"""What comes of an attempt, in one guarded transaction each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
from engine.store.turn import Line, Turn
from engine.worker.attempt import Failed, Lost, Outcome, Parked, Released, Returned
from engine.worker.claimer import Claimer
from engine.worker.claims import Claim
from engine.worker.insist import settle
from engine.worker.work import Stay, Work


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement leaves to do: step runs ready for anyone, and one claimed with it.

    Not ``open``: nothing is left to do here, whatever became of the execution.
    """

    ready: list[Ticket] = field(default_factory=list)
    riding: Work | None = None
    open: bool = False


OVER = Settled()


class Settler:
    """Commits outcomes of claimed step runs and tells what is left to do."""

    def __init__(
        self, settings: Settings, database: Database, claimer: Claimer, journal: Journal
    ) -> None:
        self._journal = journal
        self._grace = int(settings.cancel_grace_seconds * 1e6)
        self._database = database
        self._claimer = claimer

    def settle(self, work: Work, claim: Claim, outcome: Outcome, sends: Sends) -> Settled:
        """Commit ``outcome`` and return what it leaves to do; a retry's message goes to ``sends``.

        Raises:
            StaleClaim: the claim was taken away meanwhile; nothing was changed.
        """
        match outcome:
            case Returned():
                return self._complete(work, claim, outcome)
            case Failed():
                self._fail(work, claim, outcome, sends)
            case Parked(until):
                self._move(claim, lambda _now: change.park(until=until))
            case Released():
                self._move(claim, lambda now: change.release(now=now))
                sends.now.append(work.ticket(claim.epoch + 1))
            case Lost():
                pass  # whoever took the claim has settled it: there is nothing left to say
        return OVER

    def _complete(self, work: Work, claim: Claim, returned: Returned) -> Settled:
        stay = work.stay
        if claim.key.item < 0:
            stay.scope.remember(work.step.index, returned.value)
        following = self._claimer.following(work)
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
                riding = self._claimer.move(following, taken.now)
                claimed = taken.apply(following.key, following.run.epoch, riding)
            return tickets

        ready = settle(self._database, claim, move, self._journal)
        if ready is None or told:
            return OVER
        if following is not None and claimed:
            following.claim = self._claimer.held(following, claimed, sent_at=None)
            rest = [ticket for ticket in ready if ticket.step != following.step.index]
            return Settled(rest, following, open=True)
        return Settled(ready, open=True)

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
                taken.log([_verdict(claim, taken.now, described, decision.delay_us)])
                return decision.delay_us
            over = change.fail(now=taken.now, reason=failed.reason, error=text, data=described)
            taken.apply(claim.key, claim.epoch, over)
            taken.log([_verdict(claim, taken.now, described, None)])
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
                make(taken.now) if ending is None else change.revoke(now=taken.now, ending=ending)
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


def _verdict(claim: Claim, now: int, described: dict[str, Any], delay: int | None) -> Line:
    """Return the log line that tells, among the step's own, how the attempt ended."""
    number, of = described["attempt"], described["of"]
    said = f"attempt {number} of {of} failed: {described['type']}: {described['message']}"
    if delay is None:
        level, what = "error", "no attempts left" if number >= of else "not to be tried again"
    else:
        level, what = "warning", f"attempt {number + 1} in {delay / 1e6:.2f} s"
    key = claim.key
    return Line(key.step, key.item, claim.attempt, now, level, f"{said} · {what}")
