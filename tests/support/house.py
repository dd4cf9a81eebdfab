"""An engine in one process: a real database, real verbs, and messages in a list.

The tests deliver messages themselves: in any order, twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine import registry
from engine.commands import lifecycle
from engine.commands.publish import publish
from engine.commands.rerun import RerunRequest, start_again
from engine.commands.start import start
from engine.definition import parse
from engine.flow.outgoing import Sends
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes.step_runs import Ticket
from engine.testing.in_memory_engine import Bench
from engine.worker.run import Executor
from tests.support.looking import Looking


class House(Bench, Looking):
    """Everything one execution needs, in this thread."""

    def __init__(self, database: Database, settings: Settings | None = None) -> None:
        super().__init__(
            database, settings or Settings(continuation_ms=0, cancel_interrupt_seconds=0)
        )
        self.inbox: list[Ticket] = []
        self.later: list[tuple[Ticket, int]] = []
        self.dispatches: list[str] = []
        self.executor = self.worker("w1")

    def worker(self, worker_id: str, *, functions: Iterable[str] = ()) -> Executor:
        """Introduce another worker and return its executor; the first is ``executor``."""
        return self.hire(worker_id, functions)

    def publish(self, name: str, steps: dict[str, Any], **more: Any) -> str:
        """Publish a document and return the workflow's id."""
        definition = parse({"name": name, "steps": steps, **more})
        return publish(self.database, self.owner_id, definition).workflow_id

    def start(self, workflow_id: str, input: Any = None, **more: Any) -> str:
        """Admit an execution and return its id."""
        admitted = start(
            self.database,
            self.versions,
            owner_id=self.owner_id,
            workflow_id=workflow_id,
            input=input or {},
            message_id="m",
            **more,
        )
        return admitted.execution_id

    def retry(self, execution_id: str, **wish: Any) -> str:
        """Admit a retry, or a rerun by this wish, and return its id."""
        again = start_again(
            self.database,
            self.versions,
            owner_id=self.owner_id,
            execution_id=execution_id,
            message_id="m",
            wish=RerunRequest(**wish),
        )
        return again.execution_id

    def plan(self, execution_id: str) -> list[Ticket]:
        """Dispatch the execution and return the tickets of what is ready."""
        sends = self.look_at(execution_id)
        self._post(sends)
        return sends.now

    def _post(self, sends: Sends) -> None:
        self.inbox += sends.now
        self.later += sends.later
        self.dispatches += sends.dispatches

    def deliver(self, ticket: Ticket, executor: Executor | None = None) -> Sends:
        """Run one ticket; what it sends goes to the inbox."""
        sends = (executor or self.executor).run(ticket)
        self._post(sends)
        return sends

    def sweep(self) -> None:
        """Let rescue look once; what it sends goes to the inbox."""
        self._post(self.sweep_as("w1"))

    def drain(self) -> None:
        """Deliver everything that is due, until nothing is left."""
        while self.inbox or self.dispatches:
            if self.inbox:
                self.deliver(self.inbox.pop(0))
            else:
                self.plan(self.dispatches.pop(0))

    def run(self, workflow_id: str, input: Any = None) -> str:
        """Start an execution, run it to where nothing is due, and return its id."""
        execution_id = self.start(workflow_id, input)
        self.plan(execution_id)
        self.drain()
        return execution_id

    def cancel(self, execution_id: str, note: str = "") -> None:
        """Cancel with no grace left to running steps but a sweep."""
        _look, sends = lifecycle.cancel(
            self.database,
            self.versions,
            owner_id=self.owner_id,
            execution_id=execution_id,
            grace_seconds=0,
            note=note,
        )
        self._post(sends)

    # --- looking ------------------------------------------------------------------------------

    def ticket(self, execution_id: str, step: int, item: int = -1) -> Ticket:
        """Return the message that a step run is owed now."""
        epoch, queue = self.step(execution_id, step, "epoch", "queue", item=item)
        return Ticket(execution_id, step, item, epoch, queue)


def python(function: Callable[..., Any], **params: Any) -> dict[str, Any]:
    """Register ``function`` and return a step that calls it with ``params``."""
    name = f"tests.{function.__name__}"
    registry.register_step(name, function)
    return {"uses": "python", "with": {"function": name, **params}}
