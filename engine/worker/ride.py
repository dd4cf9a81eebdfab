"""What a worker takes along in the commit of a result: the next step, or the next item."""

from __future__ import annotations

from collections.abc import Sequence

from engine.codec import decode
from engine.core import transitions
from engine.core.transitions import RunKey, Transition
from engine.store import fan_outs
from engine.store.execution_tx import ExecutionTx, Line
from engine.store.fast_path import FastWrite, StepWrite, Written
from engine.store.steps import Ticket
from engine.worker.claimer import Claimer
from engine.worker.claims import Claim
from engine.worker.insist import CommonCase
from engine.worker.prepare import Call
from engine.worker.work import Work, fresh_run

_UNPLANNED = 0  # the epoch of a step run that nobody was sent for yet


class Ride:
    """Takes along at most one step run in the transaction that completes ``work``."""

    def __init__(self, claimer: Claimer, work: Work) -> None:
        """Find out, before the transaction, what can be taken along."""
        self._claimer = claimer
        self._work = work
        self._following = claimer.following(work)
        self._takes_items = claimer.takes_items(work)
        self._item = -1
        self._text = ""
        self._attempts = 0

    def forget(self) -> None:
        """Forget what was taken along: that transaction was rolled back."""
        self._item, self._attempts = -1, 0

    def take_step(self, tx: ExecutionTx) -> int | None:
        """Claim the dependant that is surely ready now; return its index, or None."""
        following = self._following
        if following is None:
            return None
        move = self._ride(following, tx.now)
        self._attempts = tx.apply(following.key, _UNPLANNED, move)
        return following.step.index

    def take_item(self, tx: ExecutionTx, item: int) -> bool:
        """Claim another item of the same fan-out; return whether that could be done.

        Not one whose parameters are still to be found out: no expression runs in a transaction.
        """
        if not self._takes_items:
            return False
        key = RunKey(self._work.key.execution_id, self._work.key.step, item)
        text = fan_outs.pending_input(tx.connection, key)
        if text is None:
            return False
        self._attempts = tx.apply(key, _UNPLANNED, self._ride_item(tx.now))
        self._item, self._text = item, text
        return True

    def _ride(self, following: Work, now: int) -> Transition:
        assert isinstance(following.prepared, Call)
        terms = self._claimer.terms(following.step, now)
        return transitions.ride(**terms, input=following.prepared.text)

    def _ride_item(self, now: int) -> Transition:
        return transitions.ride_item(**self._claimer.terms(self._work.step, now))

    def usual(self, claim: Claim, output: str) -> CommonCase[list[Ticket]] | None:
        """Return the write after which nothing is left to decide, if this can be foreseen."""
        if not self._takes_items and not self._follows_alone():
            return None

        def write(lines: Sequence[Line]) -> FastWrite:
            self.forget()
            now = self._claimer.now()
            done = StepWrite(claim.key, claim.epoch, transitions.complete(now=now, output=output))
            return FastWrite(now, done, self._then(now), lines)

        return CommonCase(write, self._note)

    def _follows_alone(self) -> bool:
        step, following = self._work.step, self._following
        if following is None or step.handlers:
            return False
        return step.dependants == (following.step.index,)

    def _then(self, now: int) -> StepWrite:
        following = self._following
        if following is not None:
            return StepWrite(following.key, _UNPLANNED, self._ride(following, now))
        fan_out = RunKey(self._work.key.execution_id, self._work.key.step)
        return StepWrite(fan_out, _UNPLANNED, self._ride_item(now))

    def _note(self, written: Written) -> list[Ticket]:
        self._work.stay.follow(written.state)
        if written.then is not None:
            self._attempts = written.then.attempts
            self._item, self._text = written.then.item, written.then.input or ""
        return []

    def taken(self) -> Work | None:
        """Return what was taken along, claimed, once the transaction has committed."""
        if not self._attempts:
            return None
        work = self._following if self._item < 0 else self._next_item()
        assert work is not None
        work.claim = self._claimer.held(work, self._attempts, sent_at=None)
        return work

    def _next_item(self) -> Work:
        run = fresh_run(self._work.key.execution_id, self._work.step, item=self._item)
        prepared = Call(decode(self._text), self._text)
        return Work(self._work.stay, self._work.step, run, prepared)
