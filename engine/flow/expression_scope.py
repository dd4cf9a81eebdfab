"""What expressions of an execution can see: its input and the outputs of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.codec import decode
from engine.core.status import ExecutionStatus, Phase
from engine.definition import Definition
from engine.io.payloads import place
from engine.store.db.database import Database
from engine.store.writes import step_outputs
from engine.store.writes.executions import Pinned
from engine.store.writes.step_runs import RunRow


class Scope:
    """The values of one execution, each read once while a worker stays with it."""

    def __init__(self, database: Database, pinned: Pinned, definition: Definition) -> None:
        self._database = database
        self._definition = definition
        self._outputs: dict[int, dict[str, Any]] = {}
        self._fixed = {
            "input": decode(pinned.input),
            "execution": {
                "id": pinned.id,
                "workflow": pinned.workflow,
                "outcome": _outcome(pinned),
                "error": None if pinned.error is None else decode(pinned.error),
            },
        }
        self._execution_id = pinned.id
        self.workflow_id = pinned.workflow_id
        self.is_child = pinned.depth > 0

    def remember(self, step: int, output: Any) -> None:
        """Keep the output of a step that this worker just ran, as its dependants will see it."""
        self._outputs[step] = {
            "output": output,
            "status": "completed",
            "error": None,
            "failures": [],
        }

    def status(self, step: int) -> str:
        """Return the status of a step that has ended."""
        name = self._definition.steps[step].name
        return str(self.values([name])["steps"][name]["status"])

    def values(
        self, names: Iterable[str], *, item: Any = None, index: int | None = None
    ) -> Mapping[str, Any]:
        """Return the variables of an expression that refers to the steps ``names``."""
        wanted = [self._definition.step(name).index for name in names]
        self._load([step for step in wanted if step not in self._outputs])
        ended = {self._definition.steps[step].name: self._outputs[step] for step in wanted}
        variables: dict[str, Any] = {**self._fixed, "steps": ended}
        if index is not None:
            variables |= {"item": item, "index": index}
        return variables

    def _load(self, missing: list[int]) -> None:
        if not missing:
            return
        found = self._database.read(
            lambda connection: step_outputs.of(connection, self._execution_id, missing)
        )
        for output in found:
            self._outputs[output.step] = {
                "output": self._value(output),
                "status": output.status.value,
                "error": None if output.error is None else decode(output.error),
                "failures": [_failure(item, error) for item, error in output.failures],
            }

    def _value(self, output: step_outputs.Output) -> Any:
        whose = f"steps.{self._definition.steps[output.step].name}"
        if output.items is not None:
            texts = enumerate(output.items)
            return [self._decoded(text, f"{whose}: item {index}") for index, text in texts]
        return self._decoded(output.text, whose)

    def _decoded(self, text: str | None, whose: str) -> Any:
        return None if text is None else decode(self.whole(text, f"{whose}: the result"))

    # --- large values ---------------------------------------------------------------------

    def whole(self, text: str, what: str) -> str:
        """Return the JSON text that a column stands for.

        Raises:
            PayloadLost, Unavailable: as ``Payloads.read``.
        """
        return self._database.payloads.read(text, what)

    def keep(
        self,
        text: str,
        run: RunRow,
        kind: str,
        what: str,
        about: Mapping[str, Any] | None = None,
    ) -> str:
        """Return what is to stand in a column of ``run`` for this JSON text.

        Raises:
            StepError, Unavailable: as ``Payloads.keep``.
        """
        where = place(
            self._execution_id,
            run.step,
            run.item,
            epoch=run.epoch,
            attempt=run.attempts + 1,
            kind=kind,
        )
        return self._database.payloads.keep(text, where, what, about)

    def keep_output(self, text: str) -> str:
        """Return what is to stand in the execution's own column for its output.

        Raises:
            StepError, Unavailable: as ``Payloads.keep``.
        """
        where = f"{self._execution_id}/output"
        return self._database.payloads.keep(text, where, "the output of the execution")


def _outcome(pinned: Pinned) -> str | None:
    """Return what the execution will end as, for the steps that run at its end."""
    if pinned.phase is Phase.STEPS:
        return None
    return pinned.ending or ExecutionStatus.COMPLETED.value


def _failure(item: int, error: str | None) -> dict[str, Any]:
    told = {} if error is None else decode(error)
    return {"item": item, "message": told.get("message"), "type": told.get("type")}
