"""What an execution's page reads in one go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.store import reads
from engine.store.reads import EventView, ExecutionDetail, pending_actions
from engine.store.reads.pending_actions import AskRow
from engine_app import forms
from engine_app.auth.viewer import Viewer
from engine_app.db_access import client, database
from engine_app.scenes import Picture
from engine_app.states import execution_windows as windows
from engine_app.states.artifacts import Thing, missing, things
from engine_app.states.execution_picked import Picked, file_of, pick, told
from engine_app.states.execution_windows import Choice
from engine_app.states.shapes_asks import asks
from engine_app.states.view_models import (
    Bar,
    Naps,
    bars,
    cause,
    event_line,
    head,
    log_line,
    naps,
    pretty,
)
from engine_app.states.view_models_waits import (
    Graces,
    arranged,
    decided,
    family,
    stage,
    waiting_notes,
)

LINES = 500  # log lines or events that a tab is told at once; it asks for what is before them


@dataclass(frozen=True)
class _Kept:
    """What a reading need not read again."""

    events: list[list[Any]] = field(default_factory=list)
    lines: list[list[Any]] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    naps: Naps = field(default_factory=dict)
    picked: Mapping[Choice, Picked] = field(default_factory=dict)


class Reader:
    """Reads an execution for all tabs that show it."""

    def __init__(self, execution_id: str) -> None:
        self._id = execution_id
        self._kept = _Kept()

    def __call__(self, viewer: Viewer, choices: frozenset[Choice]) -> Picture:
        """Return what the page shows of the viewer's execution.

        Raises:
            NotFound: there is none, or it belongs to someone else.
        """
        db = database()
        now, kept = db.now(), self._kept

        def look(connection: Any) -> tuple[Picture, _Kept]:
            detail = reads.execution(connection, viewer.id, self._id, now=now)
            found = _further(connection, viewer.id, detail, kept, choices)
            return _picture(connection, viewer, detail, found), found

        picture, self._kept = db.read(look)
        return picture


def _further(
    connection: Any,
    owner_id: str,
    detail: ExecutionDetail,
    kept: _Kept,
    choices: frozenset[Choice],
) -> _Kept:
    """Return what was kept with what is new since."""
    execution_id = detail.row.id
    # A first look takes the newest: replaying a fan-out of thousands would help nobody.
    after = kept.events[-1][0] if kept.events else max(detail.row.last_seq - LINES, 0)
    events = _events(connection, owner_id, execution_id, after)
    seen = kept.lines[-1][0] if kept.lines else 0
    lines = reads.logs(connection, owner_id, execution_id, seen, LINES, newest=True)
    found = reads.artifacts(connection, owner_id, execution_id)
    wanted = missing(found, kept.things)
    bodies = reads.artifact_bodies(connection, owner_id, execution_id, wanted) if wanted else {}
    return _Kept(
        events=[*kept.events, *map(event_line, events)][-LINES:],
        lines=[*kept.lines, *map(log_line, lines)][-LINES:],
        things=things(execution_id, found, kept.things, bodies),
        naps=naps(kept.naps, events),
        picked={
            choice: pick(connection, owner_id, choice, detail, kept.picked.get(choice, Picked()))
            for choice in choices
        },
    )


def _events(connection: Any, owner_id: str, execution_id: str, after: int) -> list[EventView]:
    """Return all events after a number: naps are made of each."""
    found: list[EventView] = []
    while True:
        part = reads.events(connection, owner_id, execution_id, after, LINES)
        found += part
        if len(part) < LINES:
            return found
        after = part[-1].seq


def _picture(connection: Any, viewer: Viewer, detail: ExecutionDetail, found: _Kept) -> Picture:
    owner_id, execution_id = viewer.id, detail.row.id
    definition = reads.pinned(connection, owner_id, execution_id)
    standing = pending_actions.standing(connection, owner_id, execution_id)
    asked = _asked(connection, owner_id, detail)
    over = pending_actions.decisions(
        connection, owner_id, execution_id, pending_actions.ASKS_SHOWN + 1
    )
    rows = arranged(bars(detail, found.naps), definition, waiting_notes(detail.steps))
    schema = definition.input_schema
    shared: dict[str, Any] = {
        "head": head(detail),
        "cause": cause(detail),
        "note": detail.cancel_note or "",
        "input": pretty(forms.masked(schema, detail.input, schema)),
        "output": told(detail.output, detail.large.get("output")),
        "output_file": file_of(detail.large, f"/api/executions/{execution_id}/{{}}", "output"),
        "events": found.events,
        "lines": found.lines,
        "first_event": _first(found.events),
        "first_line": _first(found.lines),
        "things": found.things,
        "stage": stage(standing, definition, _graces()),
        "family": family(detail),
        "decided": decided(over[: pending_actions.ASKS_SHOWN]),
        "left_out": windows.left_out(len(asked), len(over), most=pending_actions.ASKS_SHOWN),
    }
    return Picture(
        shared,
        chosen={choice: _chosen(rows, choice, picked) for choice, picked in found.picked.items()},
        own=asks(asked[: pending_actions.ASKS_SHOWN], viewer.name),
        growing=frozenset({"events", "lines"}),
        still=detail.row.finished_at is not None,
    )


def _chosen(rows: list[Bar], choice: Choice, picked: Picked) -> dict[str, Any]:
    """Return the variables that follow from a choice: a row of the timeline has one of its own."""
    shown, steps = windows.steps(rows, choice, picked.name)
    return {f"bar{number}": bar for number, bar in enumerate(shown)} | {
        "picked": picked,
        "steps": steps,
    }


def _first(rows: list[list[Any]]) -> int:
    """Return the number of a row near the first, seldom another: it is told when it changes."""
    return 1 if not rows else -(-(int(rows[0][0]) - 1) // 100) * 100 + 1


def lines_after(owner_id: str, execution_id: str, after: int) -> list[list[Any]]:
    """Return up to ``LINES`` log lines after a number, as the tail takes them.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    found = database().read(
        lambda connection: reads.logs(connection, owner_id, execution_id, after, LINES)
    )
    return [log_line(line) for line in found]


def events_after(owner_id: str, execution_id: str, after: int) -> list[list[Any]]:
    """Return up to ``LINES`` events after a number, as the list takes them.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    found = database().read(
        lambda connection: reads.events(connection, owner_id, execution_id, after, LINES)
    )
    return [event_line(event) for event in found]


def _asked(connection: Any, owner_id: str, detail: ExecutionDetail) -> list[AskRow]:
    if detail.row.finished_at is not None:
        return []
    return pending_actions.asks(connection, owner_id, detail.row.id, pending_actions.ASKS_SHOWN + 1)


def _graces() -> Graces:
    settings = client().settings
    return Graces(settings.cancel_grace_seconds, settings.cancel_interrupt_seconds)
