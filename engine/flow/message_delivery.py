"""Carry out what other executions, and people, have to tell an execution: its notices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.codec import decode, encode
from engine.core import failures, lifecycle, transitions
from engine.core.failures import Failure
from engine.core.pending_input import PendingInput
from engine.core.status import ExecutionStatus, Reason, StepStatus
from engine.definition import Definition, check_value
from engine.errors import InvalidInput, PayloadLost, StaleClaim, StepError, TooLarge
from engine.flow.error_format import describe_error
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.flow.transaction import after_failure, after_success, carry_out, commit
from engine.io.payloads import place
from engine.steps.waits import look_back
from engine.store.db.database import Database
from engine.store.writes import executions, outbox, signals, step_runs
from engine.store.writes.execution_tx import ExecutionTx, Line
from engine.store.writes.outbox import Delivery, Kind
from engine.store.writes.signals import Wanted
from engine.store.writes.step_runs import RunRow, Ticket


@dataclass(frozen=True, slots=True)
class Valid:
    """The answer: JSON text that becomes the step's output."""

    output: str
    told: dict[str, Any]  # for the event


@dataclass(frozen=True, slots=True)
class Invalid:
    """The answer is that there is none; ``described`` is the error that people read."""

    reason: str
    described: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A signal whose body the step's schema refuses: it goes on waiting for another."""

    why: str
    other: Wanted  # it may have come early too


Answer = Valid | Invalid | Rejected


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Delivers in the name of whoever looks at the execution."""

    database: Database
    definition: Definition
    journal: Journal
    grace: int  # µs that running steps have when a refusal ends the execution

    def deliver(self, execution_id: str, sends: Sends) -> bool:
        """Return whether the execution had notices, once they are carried out.

        Its messages go to ``sends``.
        """
        notices = self.database.read(lambda connection: outbox.pending(connection, execution_id))
        for notice in notices:
            if notice.kind is Kind.CANCEL:
                sends.now += self._cancel(notice, sends)
            else:
                sends.now += self._answer(notice, sends)
        return bool(notices)

    def _cancel(self, notice: Delivery, sends: Sends) -> list[Ticket]:
        def move(tx: ExecutionTx) -> list[Ticket]:
            outbox.take(tx.connection, notice.id)
            plan = lifecycle.cancel_for_parent(
                tx.state, self.definition, now=tx.now, grace=self.grace
            )
            return carry_out(tx, self.definition, plan).ready

        return commit(self.database, notice.execution_id, move, self.journal, sends)

    def _answer(self, notice: Delivery, sends: Sends) -> list[Ticket]:
        run = self.database.read(lambda connection: step_runs.get(connection, notice.key))
        if run is None or run.status is not StepStatus.WAITING or run.epoch != notice.epoch:
            self._came_too_late(notice, sends)
            return []
        answer = self.kept(run, self._read(notice, run))

        def move(tx: ExecutionTx) -> list[Ticket]:
            if not outbox.take(tx.connection, notice.id):
                return []  # another has carried it out
            return self.settle(tx, run, answer)

        try:
            return commit(self.database, notice.execution_id, move, self.journal, sends)
        except StaleClaim:
            self._came_too_late(notice, sends)
            return []

    def kept(self, run: RunRow, answer: Answer) -> Answer:
        """Return the answer as its column will hold it: a large one is in the store then.

        Raises:
            Unavailable: the payload store does not answer.
        """
        if not isinstance(answer, Valid):
            return answer
        where = place(
            run.execution_id,
            run.step,
            run.item,
            epoch=run.epoch,
            attempt=run.attempts + 1,
            kind="answer",
        )
        what = f"steps.{self.definition.steps[run.step].name}: the answer"
        try:
            return replace(answer, output=self.database.payloads.keep(answer.output, where, what))
        except StepError as error:
            return Invalid(error.reason, describe_error(error))

    def settle(self, tx: ExecutionTx, run: RunRow, answer: Answer) -> list[Ticket]:
        """Give the waiting step run its answer; return tickets for what became ready by it.

        Raises:
            StaleClaim: it waits no more; nothing was changed.
        """
        match answer:
            case Valid(output, told):
                tx.apply(
                    run.key, run.epoch, transitions.answer(now=tx.now, output=output, data=told)
                )
                return after_success(tx, self.definition, run.key, ran=True).ready
            case Invalid():
                return self._settle_badly(tx, run, answer)
            case Rejected(why, other):
                tx.log([Line(run.step, run.item, 1, tx.now, "warning", why)])
                signals.take_early(tx, run.key, run.epoch, other)
                return []

    def _settle_badly(self, tx: ExecutionTx, run: RunRow, bad: Invalid) -> list[Ticket]:
        failure = Failure(
            bad.reason,
            str(bad.described["type"]),
            bad.described,
            retryable=bad.reason in _MAY_END_DIFFERENTLY,
        )
        verdict = failures.judge(
            self.definition.steps[run.step].retry,
            run.key,
            failure,
            attempt=run.attempts + 1,
            waited=True,
        )
        again = verdict.retries(tx.state)
        tx.apply(run.key, run.epoch, verdict.transition(tx.state, now=tx.now))
        if again:
            return []
        error = verdict.described
        return after_failure(tx, self.definition, run.key, error=error, grace=self.grace)

    def _came_too_late(self, notice: Delivery, sends: Sends) -> None:
        now = self.database.now()

        def forget(connection: Any) -> str | None:
            if not outbox.take(connection, notice.id) or notice.signal_id is None:
                return None
            return signals.give_back(connection, notice.signal_id, now)

        taken_by = self.database.write(forget)
        if taken_by is not None:
            sends.dispatches.append(taken_by)

    def _read(self, notice: Delivery, run: RunRow) -> Answer:
        if notice.signal_id is not None:
            return self._signal(notice.signal_id, run)
        return self._child(notice.body)

    def _signal(self, signal_id: str, run: RunRow) -> Answer:
        sent, text = self.database.read(
            lambda connection: (
                signals.get(connection, signal_id),
                step_runs.input_of(connection, run.key),
            )
        )
        try:
            whole = None if text is None else self.database.payloads.read(text, "its parameters")
        except PayloadLost as lost:
            return Invalid(Reason.PAYLOAD_LOST, describe_error(lost))
        params = {} if whole is None else decode(whole)
        since = (run.started_at or 0) - look_back(params)
        awaited = PendingInput.of(run.wait_for)
        other = Wanted(awaited.name, awaited.correlation, since)
        if sent is None:
            return Rejected("its signal was pruned before it could be taken", other)
        try:
            body = check_value(
                params.get("schema", {}),
                decode(sent.body),
                root="body",
                wanted_by=f"signal {sent.name!r}",
            )
        except (InvalidInput, TooLarge) as error:
            return Rejected(f"signal {sent.name!r} was refused: {error}", other)
        told = {"signal": sent.name, **({"by": sent.sent_by} if sent.sent_by else {})}
        return Valid(encode(body), told)

    def _child(self, body: Any) -> Answer:
        child_id, status = body["child"], ExecutionStatus(body["status"])
        ended = self.database.read(lambda connection: executions.ended(connection, child_id))
        told = {"child": child_id}
        if status is ExecutionStatus.COMPLETED:
            what = f"the output of execution {child_id}"
            try:
                return Valid(self.database.payloads.read(ended.output or "null", what), told)
            except PayloadLost as lost:
                return Invalid(Reason.PAYLOAD_LOST, {**describe_error(lost), **told})
        if status is ExecutionStatus.CANCELLED:
            described = {
                "message": f"execution {child_id} of {ended.workflow} was cancelled",
                "type": "ChildCancelled",
            }
            return Invalid(Reason.CHILD_CANCELLED, {**described, **told})
        error = {} if ended.error is None else decode(ended.error)
        # Of children of children the innermost cause is what people look for.
        cause = error.get("cause") or error.get("message") or "no message"
        described = {
            "message": f"execution {child_id} of {ended.workflow} failed: {cause}",
            "type": "ChildFailed",
            "cause": cause,
        }
        return Invalid(Reason.CHILD_FAILED, {**described, **told})


_MAY_END_DIFFERENTLY = (Reason.CHILD_FAILED,)


def expire_wait(deliverer: Deliverer, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
    """Fail a waiting step run whose deadline is over; return what becomes ready by its policy."""
    described = {
        "message": f"no {PendingInput.of(run.wait_for).kind} came in time",
        "type": "Expired",
    }
    return deliverer.settle(tx, run, Invalid(Reason.EXPIRED, described))
