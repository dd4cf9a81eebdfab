"""Run workflows in one process, without Redis and without workers of their own."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from engine import registry
from engine.authoring.workflow_function import Workflow
from engine.commands import signals
from engine.commands.publish import publish
from engine.commands.start import start
from engine.core.status import ExecutionStatus
from engine.definition import Definition, parse, parse_text
from engine.errors import NotFound, UnknownStep
from engine.expressions import did_you_mean
from engine.flow.outgoing import Sends
from engine.settings import Settings
from engine.steps import capture
from engine.store import reads
from engine.store.db.database import Connection
from engine.store.reads import due_times
from engine.testing import temp_database
from engine.testing.clock import Clock, Clocked
from engine.testing.fake_actors import StandIns
from engine.testing.faults import Fault, WorkerDied, as_error
from engine.testing.in_memory_engine import Bench
from engine.testing.message_queue import Post
from engine.testing.run import Run

T = TypeVar("T")

LOST_US = 3_000_000  # µs after which rescue takes a message for lost when none waits


class Harness:
    """An engine of a test's own: a database to throw away, a clock, messages in a list.

    Everything is carried out in the calling thread, one message after the other. Use it as a
    context manager, or by the fixture ``harness`` of the pytest plugin.
    """

    def __init__(self, *, now: datetime | None = None, settings: Settings | None = None) -> None:
        self.clock = Clock(now)
        self._folder = tempfile.TemporaryDirectory(prefix="engine-testing-")
        chosen = settings or Settings(continuation_ms=0)
        database = temp_database.open_database(Path(self._folder.name), chosen)
        self.bench = Bench(Clocked(database, self.clock), chosen)
        self.post = Post(self.bench, self.clock)
        self._stand_ins = StandIns(self.bench)
        self._published: dict[str, str] = {}
        self._busy = False
        self._workers = 0
        capture.install()
        self._hire()
        self.clock.drive(self._pass_until)

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """Throw the database away."""
        self.bench.database.close()
        self._folder.cleanup()

    # --- running ------------------------------------------------------------------------------

    def run(self, workflow: object, input: Mapping[str, Any] | None = None, /, **named: Any) -> Run:
        """Run a workflow to its end, skipping what it waits for, and return what became of it.

        It comes back before its end only when nothing but somebody's word can help: it waits for
        a signal or an approval without a deadline, or is paused.

        Args:
            workflow: a ``@workflow``, a document (a dict, or YAML or JSON text), or the name of
                one that was published or is written in Python.
            input: the input; or give its fields by keyword.
            named: fields of the input.

        Raises:
            InvalidDocument: the document has faults.
            InvalidInput: the input does not fit the workflow's schema.
            NotFound: there is no workflow of that name.
            UnknownStep: it has a step whose function, type or actor is not there.
        """
        return self.start(workflow, input, **named).finish()

    def start(
        self, workflow: object, input: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Run:
        """Start a workflow, carry out what is due now, and return it: the clock does not move.

        Arguments and errors are those of ``run``.
        """
        workflow_id = self.publish(workflow)
        bench = self.bench
        admitted = start(
            bench.database,
            bench.versions,
            owner_id=bench.owner_id,
            workflow_id=workflow_id,
            input={**(input or {}), **named},
            message_id="harness",
        )
        run = Run(self, admitted.execution_id)
        self.carry_out(Sends(dispatches=[run.id]))
        self._refuse_unknown(run)
        return run

    def publish(self, workflow: object) -> str:
        """Make a workflow known to others that start it as their child; return its id.

        Arguments and errors are those of ``run``.
        """
        if isinstance(workflow, str) and "\n" not in workflow and "{" not in workflow:
            return self._named(workflow)
        definition = _definition(workflow)
        if definition.has_children:
            for found in registry.workflows():
                self._publish(found)
        return self._publish(definition)

    def _publish(self, definition: Definition) -> str:
        published = publish(self.bench.database, self.bench.owner_id, definition)
        self._published[definition.name] = published.workflow_id
        return published.workflow_id

    def _named(self, name: str) -> str:
        if name in self._published:
            return self._published[name]
        written = {found.name: found for found in registry.workflows()}
        if name not in written:
            hint = did_you_mean(name, [*self._published, *written])
            raise NotFound(f"there is no workflow {name!r}", hint=hint)
        return self.publish(written[name])

    # --- what goes wrong ----------------------------------------------------------------------

    def fail(
        self,
        step: str,
        *,
        error: BaseException | type[BaseException] | None = None,
        attempt: int | None = None,
        item: int | None = None,
        times: int = 1,
    ) -> None:
        """Let attempts of the step fail with ``error`` instead of running its code.

        Args:
            step: the step's name, in whichever workflow.
            error: an exception or its class; a RuntimeError by default.
            attempt: only that attempt, counted from 1; by default the next ones.
            item: only that item of a fan-out, counted from 0; by default any.
            times: how many attempts fail.
        """
        fault = Fault(step, item, attempt, times, as_error(error, step))
        self.bench.faults.asked.append(fault)

    def crash(
        self,
        step: str,
        *,
        attempt: int | None = None,
        item: int | None = None,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Let the worker die in the step: before its code is called, or ``after`` it has returned
        and before the result is kept. Other arguments are those of ``fail``."""
        self.bench.faults.asked.append(Fault(step, item, attempt, times, after=after))

    def duplicate(self) -> None:
        """From now on deliver every message twice."""
        self.post.doubled = True

    def shuffle(self, seed: int) -> None:
        """From now on deliver messages in any order: the same one for the same ``seed``."""
        self.post.order = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret

    def actor(self, name: str, function: Callable[..., Any]) -> None:
        """Let ``function`` answer for the actor ``name``, which has no worker here."""
        self._stand_ins.add(name, function)

    # --- people -------------------------------------------------------------------------------

    def signal(
        self, name: str, body: Any = None, *, correlation: str = "", run: Run | None = None
    ) -> None:
        """Send a signal to whichever run waits for it, now or later, or to ``run`` alone.

        Raises:
            Conflict: ``run`` has ended.
            InvalidInput: the schema of the waiting step refuses the body.
        """
        received = signals.signal(
            self.bench.database,
            owner_id=self.bench.owner_id,
            name=name,
            body=body,
            correlation=correlation,
            execution_id=None if run is None else run.id,
            sent_by="tester",
        )
        taken_by = received.execution_id
        self.carry_out(Sends(dispatches=[taken_by] if taken_by else []))

    # --- carrying out -------------------------------------------------------------------------

    def carry_out(self, sends: Sends | None = None) -> None:
        """Deliver what is due, these messages too, and all that follows from it now."""
        if sends is not None:
            self.post.put(sends)
        if self._busy:
            return
        self._busy = True
        try:
            while self.post.waits:
                self._deliver()
        finally:
            self._busy = False

    def _deliver(self) -> None:
        try:
            self.post.deliver(self._executor, self._stand_ins)
        except WorkerDied:
            self.bench.kill(f"w{self._workers}")
            self._hire()
            self._sweep()

    def _hire(self) -> None:
        self._workers += 1
        names = registry.function_names()
        self._executor = self.bench.hire(f"w{self._workers}", names)

    def _sweep(self) -> None:
        self.bench.broker.empty = not self.post.waits
        self.post.put(self.bench.sweep_as(f"w{self._workers}"))

    def finish(self, run: Run) -> None:
        """Skip what ``run`` waits for until it ends, or only somebody's word can help."""
        self.catch_up()
        while not run.ended:
            self._refuse_unknown(run)
            at = self._next_due()
            if at is not None:
                self._go_to(at)
            elif not self._find_lost(run):
                return

    def _find_lost(self, run: Run) -> bool:
        """Let rescue send again what a dying worker took with it; return whether there was any."""
        if run.status != ExecutionStatus.RUNNING:
            return False
        self.clock.move_to(self.clock.micros + LOST_US)
        self._sweep()
        found = self.post.waits
        self.carry_out()
        return found

    def _next_due(self) -> int | None:
        now = self.clock.micros
        stored = self.bench.database.read(lambda connection: due_times.next_due(connection, now))
        return min((at for at in (stored, self.post.next_due) if at is not None), default=None)

    def catch_up(self) -> None:
        """Carry out what is due by now and has no message: it was held up by a pause."""
        self._go_to(self.clock.micros)

    def _go_to(self, at: int) -> None:
        # One µs more, for rescue looks for what was due before now.
        self.clock.move_to(at + 1)
        self.carry_out()
        self._sweep()
        self.carry_out()

    def _pass_until(self, until: int) -> None:
        while not self._busy:
            at = self._next_due()
            if at is None or at > until:
                break
            self._go_to(at)
        self.clock.move_to(until)

    def _refuse_unknown(self, run: Run) -> None:
        found = self.bench.database.read(
            lambda connection: due_times.unknown_functions(connection, run.id)
        )
        if found:
            step = self._definition_of(run).steps[found[0]]
            raise UnknownStep(
                f"step {step.name!r} calls {step.function}, which is not installed here",
                hint="import the module that defines it before the run",
            )

    def _definition_of(self, run: Run) -> Definition:
        return self.read(reads.pinned, run.id)

    def read(self, view: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what a view for people tells the owner of everything here."""

        def ask(connection: Connection) -> T:
            return view(connection, self.bench.owner_id, *arguments, **named)

        return self.bench.database.read(ask)


def _definition(workflow: object) -> Definition:
    if isinstance(workflow, Workflow):
        return workflow.definition
    if isinstance(workflow, Definition):
        return workflow
    return parse_text(workflow) if isinstance(workflow, str) else parse(workflow)
