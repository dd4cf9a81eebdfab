"""What a worker claims in the commit of a result: the next step, or the next item."""

from __future__ import annotations

from collections.abc import Sequence

from engine.codec import decode
from engine.core import propagate, transitions
from engine.core.plan import Apply, Chain, Chained, ClaimStep
from engine.store.writes.carry_out import Carried
from engine.store.writes.execution_tx import Line
from engine.store.writes.fast_path import FastWrite, Written
from engine.worker.claim import Claimer
from engine.worker.claim_registry import Claim
from engine.worker.commit_retry import CommonCase
from engine.worker.prepare import Call
from engine.worker.work import Work, fresh_run


class Chaining:
    """Claims at most one step run in the transaction that completes ``work``."""

    def __init__(self, claimer: Claimer, work: Work) -> None:
        """Find out, before the transaction, what can be claimed in it."""
        self._claimer = claimer
        self._work = work
        self._following = claimer.following(work)
        self._takes_items = claimer.takes_items(work)

    def at(self, now: int) -> Chain:
        """Return what to claim in a transaction of this time (µs)."""
        step = item = None
        if self._following is not None:
            following = self._following
            assert isinstance(following.prepared, Call)
            terms = self._claimer.terms(following.step, now)
            claim = transitions.claim_next(**terms, input=following.prepared.text)
            step = ClaimStep(following.key, claim)
        if self._takes_items:
            item = transitions.claim_next_item(**self._claimer.terms(self._work.step, now))
        return Chain(step, item)

    def common_case(self, claim: Claim, output: str) -> CommonCase[Carried] | None:
        """Return the write after which nothing is left to decide, if this may be foreseen."""
        if self._following is None and not self._takes_items:
            return None

        def write(lines: Sequence[Line]) -> FastWrite | None:
            now = self._claimer.now()
            done = Apply(claim.key, claim.epoch, transitions.complete(now=now, output=output))
            then = propagate.common_case(self._work.execution.definition, claim.key, self.at(now))
            return None if then is None else FastWrite(now, done, then, lines)

        return CommonCase(write, self._follow)

    def _follow(self, written: Written) -> Carried:
        self._work.execution.follow(written.state)
        return Carried(chained=written.then)

    def claimed(self, chained: Chained | None) -> Work | None:
        """Return what was claimed, in hand, once the transaction has committed."""
        if chained is None:
            return None
        work = self._following if chained.item < 0 else self._item(chained)
        assert work is not None
        work.claim = self._claimer.held(work, chained.attempts, sent_at=None)
        return work

    def _item(self, chained: Chained) -> Work:
        assert chained.input is not None
        run = fresh_run(self._work.key.execution_id, self._work.step, item=chained.item)
        prepared = Call(decode(chained.input), chained.input)
        return Work(self._work.execution, self._work.step, run, prepared)
