"""One execution as a test sees it: how it stands, what it said, and what people may do to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.codec import decode
from engine.commands import lifecycle, signals
from engine.commands.signals import Decision
from engine.core.status import ExecutionStatus
from engine.errors import EngineError
from engine.store import reads
from engine.store.reads import (
    AttemptRow,
    EventView,
    ExecutionDetail,
    LogView,
    StepDetail,
    downloads,
)

if TYPE_CHECKING:
    from engine.testing.harness import Harness

_MANY = 1_000_000  # events and lines: a test sees all of them


class RunFailed(EngineError):
    """A workflow that was run in-process has not completed. ``run_error`` is its error, if any."""

    code = "run_failed"

    def __init__(self, message: str, *, run_error: Mapping[str, Any], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.run_error = run_error


@dataclass(frozen=True, slots=True)
class StepView:
    """A step run, as it stood when it was asked for. ``tries`` are those that did not complete."""

    name: str
    item: int | None
    status: str
    reason: str | None
    attempts: int
    crashes: int
    input: Any
    output: Any
    error: Mapping[str, Any] | None
    tries: Sequence[AttemptRow]


class Run:
    """An execution. What it tells is read when it is asked for, and what is done to it is carried
    out at once, up to where it waits for time or for somebody."""

    def __init__(self, harness: Harness, execution_id: str) -> None:
        self._harness = harness
        self.id = execution_id

    def __repr__(self) -> str:
        return f"<run {self.id} {self.status}>"

    # --- looking ------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """``pending``, ``running``, ``waiting``, ``paused``, ``completed``, ``failed`` or
        ``cancelled``."""
        return self._detail.row.status

    @property
    def reason(self) -> str | None:
        """The word beside the status."""
        return self._detail.row.reason

    @property
    def output(self) -> Any:
        """What the workflow gave; None until it has completed."""
        return self._output(self._detail)

    def _output(self, detail: ExecutionDetail) -> Any:
        if "output" not in detail.large:
            return detail.output
        bench = self._harness.bench
        return _joined(downloads.execution_output(bench.database, bench.owner_id, self.id))

    @property
    def error(self) -> Mapping[str, Any] | None:
        """What it failed of: ``step``, ``item``, ``type``, ``message`` …; None if it did not."""
        return self._detail.error

    @property
    def ended(self) -> bool:
        """Whether its status is an end."""
        return ExecutionStatus(self.status).ended

    @property
    def events(self) -> list[EventView]:
        """Its facts in order."""
        return self._harness.read(reads.events, self.id, 0, _MANY)

    @property
    def logs(self) -> list[LogView]:
        """What its steps wrote, in order."""
        return self._harness.read(reads.logs, self.id, 0, _MANY)

    def step(self, name: str, item: int | None = None) -> StepView:
        """Return the step's run, or that of one item of a fan-out.

        Raises:
            NotFound: the workflow has no such step, or the step no such item.
        """
        detail = self._harness.read(reads.step, self.id, name, item)
        values = {"input": detail.input, "output": detail.output}
        for kind in values.keys() & detail.large.keys():
            values[kind] = self._whole(name, item, kind)
        return _view(detail, **values)

    def _whole(self, name: str, item: int | None, kind: str) -> Any:
        bench = self._harness.bench
        return _joined(
            downloads.step_value(
                bench.database, bench.owner_id, self.id, name, kind=kind, item=item
            )
        )

    def items(self, name: str) -> list[StepView]:
        """Return the items of a fan-out, in order.

        Raises:
            NotFound: the workflow has no such step.
        """
        found: list[StepView] = []
        cursor: str | None = None
        while True:
            page = self._harness.read(
                reads.items, self.id, name, cursor=cursor, limit=reads.MAX_LIMIT
            )
            found += [self.step(name, row.item) for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                return found

    @property
    def _detail(self) -> ExecutionDetail:
        return self._harness.read(reads.execution, self.id, now=self._harness.clock.micros)

    # --- doing --------------------------------------------------------------------------------

    def finish(self) -> Run:
        """Skip what it waits for until it ends, or nothing but somebody's word can help; return it.

        Raises:
            UnknownStep: it has a step whose function, type or actor is not there.
        """
        self._harness.finish(self)
        return self

    def result(self) -> Any:
        """Return its output.

        Raises:
            RunFailed: it has not completed; the message says what it failed of or waits for.
        """
        detail = self._detail
        if detail.row.status == ExecutionStatus.COMPLETED:
            return self._output(detail)
        error = dict(detail.error or {})
        where = f" at step {error['step']!r}" if error.get("step") else ""
        what = f"{error['type']}: {error['message']}" if "type" in error else detail.row.detail
        raise RunFailed(
            f"{detail.row.workflow} is {detail.row.status}{where}: {what}",
            run_error=error,
            hint=str(error.get("trace", "")),
        )

    def signal(self, name: str, body: Any = None, *, correlation: str = "") -> None:
        """Send it the signal ``name``; ``body`` becomes the output of the step that takes it.

        Raises:
            Conflict: it has ended.
            InvalidInput: the schema of the waiting step refuses the body.
        """
        self._harness.signal(name, body, correlation=correlation, run=self)

    def approve(
        self,
        step: str,
        values: Mapping[str, Any] | None = None,
        *,
        by: str = "tester",
        comment: str = "",
        item: int | None = None,
    ) -> None:
        """Approve the step that asks for it, with what the form wants filled in.

        Raises:
            Conflict: the step asks for no approval now.
            Forbidden: the step names others as its approvers.
            InvalidInput: ``values`` do not fit the form.
        """
        self._decide(step, Decision(True, by, comment, dict(values or {}), item))

    def reject(
        self, step: str, *, by: str = "tester", comment: str = "", item: int | None = None
    ) -> None:
        """Reject what the step asks for: it fails with reason ``rejected``.

        Raises:
            Conflict, Forbidden: as ``approve``.
        """
        self._decide(step, Decision(False, by, comment, {}, item))

    def _decide(self, step: str, decision: Decision) -> None:
        bench = self._harness.bench
        _look, sends = signals.decide(
            bench.database,
            bench.versions,
            user_id=bench.owner_id,
            execution_id=self.id,
            step=step,
            decision=decision,
            grace_seconds=bench.settings.cancel_grace_seconds,
        )
        self._harness.carry_out(sends)

    def cancel(self, note: str = "") -> None:
        """Cancel it: no step starts any more but those that run at the end.

        Raises:
            Conflict: it has ended, or was cancelled before.
        """
        bench = self._harness.bench
        _look, sends = lifecycle.cancel(
            bench.database,
            bench.versions,
            owner_id=bench.owner_id,
            execution_id=self.id,
            grace_seconds=bench.settings.cancel_grace_seconds,
            note=note,
        )
        self._harness.carry_out(sends)

    def pause(self) -> None:
        """Pause it: no step starts until it is resumed.

        Raises:
            Conflict: it has ended, is ending, or is paused.
        """
        bench = self._harness.bench
        lifecycle.pause(bench.database, owner_id=bench.owner_id, execution_id=self.id)

    def resume(self) -> None:
        """Let it go on after a pause.

        Raises:
            Conflict: it is not paused.
        """
        bench = self._harness.bench
        _look, sends = lifecycle.resume(
            bench.database, owner_id=bench.owner_id, execution_id=self.id
        )
        self._harness.carry_out(sends)
        self._harness.catch_up()


def _joined(parts: Iterator[bytes]) -> Any:
    return decode(b"".join(parts).decode())


def _view(detail: StepDetail, *, input: Any, output: Any) -> StepView:
    row = detail.row
    return StepView(
        name=detail.name,
        item=detail.item,
        status=row.status,
        reason=row.reason,
        attempts=row.attempts,
        crashes=row.crashes,
        input=input,
        output=output,
        error=row.error,
        tries=detail.attempts,
    )
