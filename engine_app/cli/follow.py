"""Watch an execution until it ends: a live tree on a terminal, lines anywhere else."""

from __future__ import annotations

import time

from rich.live import Live

from engine.core.status import EXECUTION_ENDS, ExecutionStatus
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import EventView, ExecutionDetail
from engine_app.cli.output import clean, console, moment
from engine_app.cli.tree import hints, tree

LOOK_SECONDS = 0.25
_HELD = (ExecutionStatus.WAITING, ExecutionStatus.PAUSED)
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
        lambda connection: reads.execution(connection, owner_id, execution_id, now=now)
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


def _lines(database: Database, owner_id: str, execution_id: str) -> ExecutionDetail:
    after = told = 0
    while True:
        found = _look(database, owner_id, execution_id)
        while True:
            events = database.read(
                lambda connection, after=after: reads.events(  # type: ignore[misc]
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
        # Once for each time that it comes to stand still, and not at each look.
        if found.row.status in _HELD and after == found.row.last_seq > told:
            told = after
            for line in (clean(found.row.detail), *hints(found)):
                console.print(f"[bright_black]… {line}[/]")
        time.sleep(LOOK_SECONDS)


def event_line(event: EventView) -> str:
    """Return an event as a line."""
    where = clean(event.step or "")
    if event.item is not None:
        where += f"\\[{event.item}]"
    attempt = f" attempt {event.attempt}" if event.attempt and event.attempt > 1 else ""
    message = clean(event.data.get("message") or event.data.get("note") or "")
    return f"{moment(event.at)}  {event.type:16} {where}{attempt}  {message}".rstrip()
