"""What follows from a move, told over a :class:`Table`: ``engine/flow`` in the plainest way."""

from __future__ import annotations

from engine.core import transitions
from engine.core.event import EventType
from engine.core.planning import closing_rows
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.definition import Definition, OnFailure, Step
from engine.flow.ending import FINISH_GRACE
from tests.support.model.table import Key, Message, Table

GRACE = 10_000_000  # µs that what runs has once its execution is told to end


class Flow:
    """The consequences of moves on one execution."""

    table: Table

    @property
    def definition(self) -> Definition:
        """The pinned version."""
        return self.table.definition

    # --- a step run ended ---------------------------------------------------------------------

    def after_success(self, key: Key, *, ran: bool) -> list[Message]:
        """Return messages for what became ready when the step run completed or was skipped."""
        if self.table.head.stopping:
            return self.end_if_idle()
        if key[1] >= 0:
            return self._sent(self._after_item(key, failed=False))
        ready = self._advance(self.definition.steps[key[0]], ran=ran, handled=False)
        return self._sent(ready + self._when_all_ended())

    def after_failure(self, key: Key) -> list[Message]:
        """Do what the failed step's policy says; return messages for what became ready."""
        head = self.table.head
        if head.stopping:
            return self.end_if_idle()
        step = self.definition.steps[key[0]]
        if key[1] >= 0:
            return self._sent(self._after_item(key, failed=True))
        if head.phase is Phase.CLOSING:
            if head.ending is None and step.on_failure is OnFailure.FAIL:
                head.ending = ExecutionStatus.FAILED
            ready = self._advance(step, ran=False, handled=False)
        elif step.on_failure is OnFailure.FAIL:
            return self._fail_execution(key)
        else:
            goes_on = step.on_failure is OnFailure.CONTINUE
            ready = self._advance(step, ran=goes_on, handled=not goes_on)
        return self._sent(ready + self._when_all_ended())

    def _sent(self, messages: list[Message]) -> list[Message]:
        return messages if self.table.head.moving else []

    def _advance(self, step: Step, *, ran: bool, handled: bool) -> list[Message]:
        others = [index for index in step.dependants if index not in step.handlers]
        return [
            *self.table.advance(others, ran=ran),
            *self.table.advance(step.handlers, ran=handled),
        ]

    def _after_item(self, key: Key, *, failed: bool) -> list[Message]:
        table, step = self.table, self.definition.steps[key[0]]
        node_key = (key[0], -1)
        node = table.rows[node_key]
        assert node.items is not None
        node.items_left -= 1
        node.items_failed += failed
        refill = node.items_next
        node.items_next += 1
        enough = step.tolerance.allows(node.items_failed, node.items)
        strict = step.on_failure is OnFailure.FAIL and table.head.phase is Phase.STEPS
        if failed and strict and not enough:
            return self._fail_execution(key)
        if node.items_left > 0:
            return table.queue_items(key[0], refill, refill + 1)
        if enough:
            table.apply(node_key, node.epoch, transitions.join(now=table.now, items=node.items))
            return self.after_success(node_key, ran=True)
        table.apply(node_key, node.epoch, transitions.scatter(now=table.now, error="{}", data={}))
        return self.after_failure(node_key)

    def _fail_execution(self, key: Key) -> list[Message]:
        if key[1] >= 0:
            node = self.table.rows[(key[0], -1)]
            node.status, node.reason = StepStatus.FAILED, Reason.STEP_FAILED
        return self.start_ending(ExecutionStatus.FAILED)

    # --- the execution's end ------------------------------------------------------------------

    def start_ending(self, ending: ExecutionStatus) -> list[Message]:
        """Let nothing new start."""
        table, head = self.table, self.table.head
        if ending is ExecutionStatus.CANCELLED:
            table.drop_open(StepStatus.CANCELLED, Reason.CANCELLED_BY_USER)
        else:
            table.drop_open(StepStatus.SKIPPED, Reason.UPSTREAM_FAILED)
        if head.phase is Phase.CLOSING:
            head.phase = Phase.ABANDONED
        if head.status is ExecutionStatus.PAUSED and head.runs_total:
            head.status = ExecutionStatus.RUNNING
            table.emit(EventType.RESUMED)
        head.ending = head.ending or ending
        table.due_at = table.now + GRACE
        return self.end_if_idle()

    def end_if_idle(self) -> list[Message]:
        """Once nothing runs any more, begin to close, or write the end status."""
        table, head = self.table, self.table.head
        if head.ending is None or head.active > 0 or head.over:
            return []
        if head.phase is Phase.CLOSING and head.steps_left > 0:
            return []
        if head.phase is Phase.STEPS and head.runs_total and self.definition.closing:
            return self._begin_closing()
        head.status = head.ending
        table.due_at, table.interrupting = None, False
        table.emit(EventType(head.ending.value))
        return []

    def _begin_closing(self) -> list[Message]:
        table, head = self.table, self.table.head
        head.phase, head.steps_left = Phase.CLOSING, 0
        if head.status is not ExecutionStatus.PAUSED:
            head.status = ExecutionStatus.RUNNING
        table.due_at, table.interrupting = None, False
        table.emit(EventType.CLOSING)
        ready = table.insert_first(closing_rows(self.definition, undoes=head.ending is not None))
        return ready or self._when_all_ended()

    def _when_all_ended(self) -> list[Message]:
        table, head = self.table, self.table.head
        if head.steps_left > 0:
            return []
        if head.ending is not None:
            return self.end_if_idle()
        if self.definition.closing and head.phase is Phase.STEPS:
            return self._begin_closing()
        table.due_at = table.now + FINISH_GRACE
        if head.moving:
            self.owe_finish()
        return []

    def owe_finish(self) -> None:
        """Say that somebody must look at the execution, whose steps have all ended."""
        raise NotImplementedError

    def complete(self) -> None:
        """Write the end status if all steps ended well and nobody has done it."""
        table = self.table
        if table.head.finishable(closes=bool(self.definition.closing)):
            table.head.status = ExecutionStatus.COMPLETED
            table.due_at = None
            table.emit(EventType.COMPLETED)
