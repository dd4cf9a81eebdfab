"""What a worker takes along in the commit of a result: the next step, or the next item."""

from __future__ import annotations

from engine.codec import decode
from engine.machine import change
from engine.machine.change import RunKey
from engine.store import fan_outs
from engine.store.turn import Turn
from engine.worker.claimer import Claimer
from engine.worker.prepare import Call
from engine.worker.work import Work, fresh_run

_UNPLANNED = 0  # the epoch of a step run that nobody was sent for yet


class Ride:
    """Takes along at most one step run in the turn that completes ``work``."""

    def __init__(self, claimer: Claimer, work: Work) -> None:
        """Find out, before the turn, what can be taken along."""
        self._claimer = claimer
        self._work = work
        self._following = claimer.following(work)
        self._takes_items = claimer.takes_items(work)
        self._item = -1
        self._text = ""
        self._attempts = 0

    def forget(self) -> None:
        """Forget what was taken along: that turn was rolled back."""
        self._item, self._attempts = -1, 0

    def take_step(self, turn: Turn) -> int | None:
        """Claim the dependant that is surely ready now; return its index, or None."""
        work = self._following
        if work is None:
            return None
        assert isinstance(work.prepared, Call)
        terms = self._claimer.terms(work.step, turn.now, input=work.prepared.text)
        self._attempts = turn.apply(work.key, _UNPLANNED, change.ride(**terms))
        return work.step.index

    def take_item(self, turn: Turn, item: int) -> bool:
        """Claim another item of the same fan-out; return whether that could be done.

        Not one whose parameters are still to be found out: no expression runs in a turn.
        """
        if not self._takes_items:
            return False
        key = RunKey(self._work.key.execution_id, self._work.key.step, item)
        text = fan_outs.pending_input(turn.connection, key)
        if text is None:
            return False
        terms = self._claimer.terms(self._work.step, turn.now, input=text)
        self._attempts = turn.apply(key, _UNPLANNED, change.ride(**terms, needs=0))
        self._item, self._text = item, text
        return True

    def taken(self) -> Work | None:
        """Return what was taken along, claimed, once the turn has committed."""
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
