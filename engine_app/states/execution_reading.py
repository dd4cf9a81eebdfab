"""What an execution's page reads in one go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.store import views, views_standing
from engine.store.views import EventView, ExecutionDetail, ItemRow, Large, StepDetail, StepRow
from engine.store.views_standing import AskRow
from engine.store.views_words import error_line
from engine_app.auth.viewer import Viewer
from engine_app.reading import client, database
from engine_app.scenes import Picture
from engine_app.states.shapes import (
    Bar,
    Naps,
    Try,
    bars,
    begun,
    cause,
    event_line,
    head,
    log_line,
    naps,
    pretty,
    progress,
    tries,
)
from engine_app.states.shapes_waits import (
    Graces,
    arranged,
    asks,
    decided,
    family,
    stage,
    waiting_notes,
)
from engine_app.states.things import Thing, missing, things

SLOTS = 60  # steps on screen; of a longer workflow the page says how many more there are
LINES = 500  # log lines or events that a tab is told at once; it asks for what is before them
_ITEMS = 200  # of a fan-out on screen
_FAILED_ITEMS = 20  # of those with their errors


@dataclass(frozen=True)
class Choice:
    """What of an execution a tab shows: the values of a step, or of one item of it."""

    step: str = ""  # none chosen: the one that tells most
    item: int = -1


@dataclass(frozen=True)
class Item:
    """An item of a fan-out."""

    number: int = 0
    status: str = ""
    message: str = ""


@dataclass(frozen=True)
class Picked:
    """The step whose values are on screen. ``stamp`` tells whether they are still the same."""

    stamp: str = ""
    name: str = ""
    uses: str = ""
    status: str = ""
    reason: str = ""
    attempts: str = ""
    worker: str = ""
    needs: str = ""
    item: int = -1
    members: list[Item] = field(default_factory=list)
    failed: list[Item] = field(default_factory=list)
    failed_more: str = ""
    more: str = ""
    started: int = 0
    finished: int = 0
    progress: str = ""
    input: str = ""
    output: str = ""
    input_file: str = ""  # the download of a value that is too large to be shown
    output_file: str = ""
    tries: list[Try] = field(default_factory=list)


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
            detail = views.execution(connection, viewer.id, self._id, now=now)
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
    lines = views.logs(connection, owner_id, execution_id, seen, LINES, newest=True)
    found = views.artifacts(connection, owner_id, execution_id)
    wanted = missing(found, kept.things)
    bodies = views.artifact_bodies(connection, owner_id, execution_id, wanted) if wanted else {}
    return _Kept(
        events=[*kept.events, *map(event_line, events)][-LINES:],
        lines=[*kept.lines, *map(log_line, lines)][-LINES:],
        things=things(execution_id, found, kept.things, bodies),
        naps=naps(kept.naps, events),
        picked={
            choice: _pick(connection, owner_id, choice, detail, kept.picked.get(choice, Picked()))
            for choice in choices
        },
    )


def _events(connection: Any, owner_id: str, execution_id: str, after: int) -> list[EventView]:
    """Return all events after a number: naps are made of each."""
    found: list[EventView] = []
    while True:
        part = views.events(connection, owner_id, execution_id, after, LINES)
        found += part
        if len(part) < LINES:
            return found
        after = part[-1].seq


def _picture(connection: Any, viewer: Viewer, detail: ExecutionDetail, found: _Kept) -> Picture:
    owner_id, execution_id = viewer.id, detail.row.id
    definition = views.pinned(connection, owner_id, execution_id)
    standing = views_standing.standing(connection, owner_id, execution_id)
    rows = arranged(bars(detail, found.naps), definition, waiting_notes(detail.steps))
    shown = [*rows, *[Bar()] * (SLOTS - len(rows))][:SLOTS]
    shared: dict[str, Any] = {f"bar{number}": bar for number, bar in enumerate(shown)}
    shared |= {
        "head": head(detail),
        "cause": cause(detail),
        "steps": len(rows),
        "note": detail.cancel_note or "",
        "input": pretty(detail.input),
        "output": _told(detail.output, detail.large.get("output")),
        "output_file": _file(detail.large, f"/api/executions/{execution_id}/{{}}", "output"),
        "events": found.events,
        "lines": found.lines,
        "first_event": _first(found.events),
        "first_line": _first(found.lines),
        "things": found.things,
        "stage": stage(standing, definition, _graces()),
        "family": family(detail),
        "decided": decided(views_standing.decisions(connection, owner_id, execution_id)),
    }
    return Picture(
        shared,
        chosen={choice: {"picked": picked} for choice, picked in found.picked.items()},
        own=asks(_asked(connection, owner_id, detail), viewer.name),
        growing=frozenset({"events", "lines"}),
        still=detail.row.finished_at is not None,
    )


def _first(rows: list[list[Any]]) -> int:
    """Return the number of a row near the first, seldom another: it is told when it changes."""
    return 1 if not rows else -(-(int(rows[0][0]) - 1) // 100) * 100 + 1


def lines_after(owner_id: str, execution_id: str, after: int) -> list[list[Any]]:
    """Return up to ``LINES`` log lines after a number, as the tail takes them.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    found = database().read(
        lambda connection: views.logs(connection, owner_id, execution_id, after, LINES)
    )
    return [log_line(line) for line in found]


def events_after(owner_id: str, execution_id: str, after: int) -> list[list[Any]]:
    """Return up to ``LINES`` events after a number, as the list takes them.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    found = database().read(
        lambda connection: views.events(connection, owner_id, execution_id, after, LINES)
    )
    return [event_line(event) for event in found]


def _asked(connection: Any, owner_id: str, detail: ExecutionDetail) -> list[AskRow]:
    if detail.row.finished_at is not None:
        return []
    return views_standing.asks(connection, owner_id, detail.row.id)


def _graces() -> Graces:
    settings = client().settings
    return Graces(settings.cancel_grace_seconds, settings.cancel_interrupt_seconds)


def _pick(
    connection: Any, owner_id: str, choice: Choice, detail: ExecutionDetail, known: Picked
) -> Picked:
    """Return the values of what is chosen, as they are known when nothing about it has changed."""
    step = _chosen(choice.step, detail)
    if step is None:
        return Picked()
    number = choice.item if step.items is not None and 0 <= choice.item < step.items else None
    item = None if number is None else _item(connection, owner_id, detail.row.id, step, number)
    stamp = f"{step.name} {number} {_stamp(step)} {step.items_left} {_stamp(item)}"
    if stamp == known.stamp:
        return known
    values = views.step(connection, owner_id, detail.row.id, step.index, number)
    items = _items(connection, owner_id, detail.row.id, step)
    picked = _picked(stamp, step, values, items, detail.row.id)
    return _with_failed(connection, owner_id, detail.row.id, step, picked)


def _stamp(row: StepRow | ItemRow | None) -> str:
    """Return what tells whether a row's values are still the same."""
    if row is None:
        return ""
    return f"{row.status} {row.attempts} {row.crashes} {row.worker_id} {progress(row.progress)}"


def _item(
    connection: Any, owner_id: str, execution_id: str, step: StepRow, number: int
) -> ItemRow | None:
    before = None if number == 0 else str(number - 1)
    page = views.items(connection, owner_id, execution_id, step.index, cursor=before, limit=1)
    return next((row for row in page.rows if row.item == number), None)


def _chosen(name: str, detail: ExecutionDetail) -> StepRow | None:
    """Return the step asked for, else the one that failed, runs, or came last."""
    by_name = {step.name: step for step in detail.steps}
    if name in by_name:
        return by_name[name]
    failed = str((detail.error or {}).get("step", ""))
    if failed in by_name:
        return by_name[failed]
    moving = [step for step in detail.steps if step.status in ("running", "retrying", "waiting")]
    return next(iter(moving or reversed(detail.steps)), None)


def _items(
    connection: Any, owner_id: str, execution_id: str, step: StepRow, status: str | None = None
) -> list[ItemRow]:
    if not step.items or (status is not None and not step.items_failed):
        return []
    limit = _ITEMS if status is None else _FAILED_ITEMS
    page = views.items(connection, owner_id, execution_id, step.index, status=status, limit=limit)
    return list(page.rows)


def _with_failed(
    connection: Any, owner_id: str, execution_id: str, step: StepRow, picked: Picked
) -> Picked:
    """Return the fan-out with its failed items and their errors: they are told apart."""
    found = _items(connection, owner_id, execution_id, step, "failed")
    more = step.items_failed - len(found)
    return replace(
        picked,
        failed=[Item(row.item, row.status, error_line(row.error or {})) for row in found],
        failed_more=f"and {more:,} more that failed" if more > 0 else "",
    )


def _picked(
    stamp: str, step: StepRow, values: StepDetail, items: list[ItemRow], execution_id: str
) -> Picked:
    row = values.row
    query = "" if values.item is None else f"?item={values.item}"
    address = f"/api/executions/{execution_id}/steps/{step.name}/values/{{}}{query}"
    limit = max(step.max_attempts, row.attempts)
    rest = (step.items or 0) - len(items)
    return Picked(
        stamp=stamp,
        name=step.name,
        uses=step.uses,
        status=row.status,
        reason=(row.reason or "").replace("_", " "),
        attempts=f"{row.attempts} of {limit}" + (f", {row.crashes} lost" if row.crashes else ""),
        worker=row.worker_id or "",
        needs=", ".join(step.needs) or "nothing",
        item=-1 if values.item is None else values.item,
        members=[Item(found.item, found.status) for found in items],
        more=f"and {rest:,} more items" if rest > 0 else "",
        started=row.started_at or 0,
        finished=row.finished_at or 0,
        progress=progress(row.progress),
        input=_input(values),
        output=(
            _told(values.output, values.large.get("output")) if row.status == "completed" else ""
        ),
        input_file=_file(values.large, address, "input", "value"),
        output_file=_file(values.large, address, "output") if row.status == "completed" else "",
        tries=tries(values.attempts),
    )


def _input(values: StepDetail) -> str:
    """Return what the step was given; before it starts, an item's own value is known already."""
    large = values.large.get("input")
    if values.input is None and large is None:
        given, large = values.value, values.large.get("value")
    else:
        given = values.input
    return "" if given is None and large is None else _told(given, large)


def _told(value: Any, large: Large | None) -> str:
    return pretty(value) if large is None else begun(large)


def _file(large: Mapping[str, Large], address: str, *names: str) -> str:
    """Return the download of the first of these values that is too large, or nothing."""
    return next((address.format(name) for name in names if name in large), "")
