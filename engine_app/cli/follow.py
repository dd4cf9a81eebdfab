"""Watch an execution until it ends: a live tree on a terminal, lines anywhere else."""

from __future__ import annotations

import time

from rich.live import Live
from rich.tree import Tree

from engine.machine.status import EXECUTION_ENDS
from engine.store import views
from engine.store.database import Database
from engine.store.views import EventView, ExecutionDetail, StepRow
from engine_app.cli.output import clean, console, length, moment, status

LOOK_SECONDS = 0.25
_STEPS_SHOWN = 40  # a terminal is not higher; the rest is told as a number
_BATCH = 500


def follow(database: Database, owner_id: str, execution_id: str, *, quiet: bool) -> ExecutionDetail:
    """Show the execution until it has ended and return it."""
    if quiet:
        return _wait(database, owner_id, execution_id)
    if console.is_terminal:
        return _tree(database, owner_id, execution_id)
    return _lines(database, owner_id, execution_id)


def _look(database: Database, owner_id: str, execution_id: str) -> ExecutionDetail:
    now = database.now()
    return database.read(
        lambda connection: views.execution(connection, owner_id, execution_id, now=now)
    )


def _is_over(found: ExecutionDetail) -> bool:
    return found.row.status in EXECUTION_ENDS


def _wait(database: Database, owner_id: str, execution_id: str) -> ExecutionDetail:
    while not _is_over(found := _look(database, owner_id, execution_id)):
        time.sleep(LOOK_SECONDS)
    return found


def _tree(database: Database, owner_id: str, execution_id: str) -> ExecutionDetail:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = _look(database, owner_id, execution_id)
            live.update(tree(found, database.now()), refresh=True)
            if _is_over(found):
                return found
            time.sleep(LOOK_SECONDS)


def tree(found: ExecutionDetail, now: int) -> Tree:
    """Return the execution and its steps as a tree."""
    row = found.row
    took = length(row.started_at, row.finished_at or now)
    shown = Tree(
        f"[bold]{clean(row.workflow)}[/] v{row.version} {clean(row.id)}  {status(row.status)}  "
        f"{took}  [bright_black]{clean(row.detail)}[/]"
    )
    for step in found.steps[:_STEPS_SHOWN]:
        shown.add(_step(step, now))
    if len(found.steps) > _STEPS_SHOWN:
        shown.add(f"[bright_black]and {len(found.steps) - _STEPS_SHOWN} more steps[/]")
    return shown


def _step(step: StepRow, now: int) -> str:
    parts = [f"{status(step.status)}  [bold]{clean(step.name)}[/]"]
    if step.items is not None:
        parts.append(f"{step.items - (step.items_left or 0)} of {step.items} items")
    if step.attempts > 1 or step.status == "retrying":
        parts.append(f"attempt {step.attempts} of {max(step.attempts, step.max_attempts)}")
    if step.crashes:
        parts.append(f"its worker was lost {step.crashes} ×")
    if step.started_at is not None:
        parts.append(length(step.started_at, step.finished_at or now))
    if step.error and step.status in ("failed", "retrying"):
        parts.append(f"[red]{clean(step.error.get('message', ''))[:120]}[/]")
    elif step.reason:
        parts.append(f"[bright_black]{clean(step.reason)}[/]")
    return "  ".join(parts)


def _lines(database: Database, owner_id: str, execution_id: str) -> ExecutionDetail:
    after = 0
    while True:
        found = _look(database, owner_id, execution_id)
        while True:
            events = database.read(
                lambda connection, after=after: views.events(  # type: ignore[misc]
                    connection, owner_id, execution_id, after, _BATCH
                )
            )
            for event in events:
                console.print(event_line(event))
            after = events[-1].seq if events else after
            if len(events) < _BATCH:
                break
        if _is_over(found) and after >= found.row.last_seq:
            return found
        time.sleep(LOOK_SECONDS)


def event_line(event: EventView) -> str:
    """Return an event as a line."""
    where = clean(event.step or "")
    if event.item is not None:
        where += f"\\[{event.item}]"
    attempt = f" attempt {event.attempt}" if event.attempt and event.attempt > 1 else ""
    message = clean(event.data.get("message", ""))
    return f"{moment(event.at)}  {event.type:16} {where}{attempt}  {message}".rstrip()
