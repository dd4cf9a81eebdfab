"""What an execution's page reads in one go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.store import views, views_standing
from engine.store.views import ExecutionDetail, ItemRow, Large, StepDetail, StepRow
from engine.store.views_standing import AskRow
from engine.store.views_words import error_line
from engine_app.auth.viewer import Viewer
from engine_app.reading import client, database
from engine_app.states.shapes import (
    Bar,
    Cause,
    Head,
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
    Ask,
    Decided,
    Family,
    Graces,
    Stage,
    arranged,
    asks,
    decided,
    family,
    stage,
    waiting_notes,
)
from engine_app.states.things import Thing, missing, things

LINES = 500  # log lines or events in one delta; a longer tail follows in the next
_ITEMS = 200  # of a fan-out on screen
_FAILED_ITEMS = 20  # of those with their errors


@dataclass(frozen=True)
class Aim:
    """What to read: the execution, what the tab has of it, and the step whose values it shows."""

    execution_id: str
    event_seq: int
    log_seq: int
    step: str
    item: int
    stamp: str
    naps: Naps
    things: list[Thing]


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
class Look:
    """One reading of the page. ``picked`` is None when it is as the tab has it."""

    head: Head
    cause: Cause
    bars: list[Bar]
    note: str
    input: str
    output: str
    output_file: str
    events: list[list[Any]]
    lines: list[list[Any]]
    things: list[Thing]
    picked: Picked | None
    naps: Naps
    stage: Stage
    family: Family
    asks: list[Ask]
    decided: list[Decided]


def read(viewer: Viewer, aim: Aim) -> Look:
    """Return what the page shows of the viewer's execution.

    Raises:
        NotFound: there is none, or it belongs to someone else.
    """
    db = database()
    now = db.now()
    return db.read(lambda connection: _look(connection, viewer, aim, now))


def _look(connection: Any, viewer: Viewer, aim: Aim, now: int) -> Look:
    owner_id = viewer.id
    detail = views.execution(connection, owner_id, aim.execution_id, now=now)
    lines = views.logs(
        connection, owner_id, aim.execution_id, aim.log_seq, LINES, newest=not aim.log_seq
    )
    # A first look takes the newest: replaying a fan-out of thousands would help nobody.
    after = aim.event_seq or max(detail.row.last_seq - LINES + 1, 0)
    events = views.events(connection, owner_id, aim.execution_id, after, LINES)
    found = views.artifacts(connection, owner_id, aim.execution_id)
    bodies = views.artifact_bodies(
        connection, owner_id, aim.execution_id, missing(found, aim.things)
    )
    parked = naps(aim.naps, events)
    definition = views.pinned(connection, owner_id, aim.execution_id)
    asked = _asked(connection, owner_id, detail)
    standing = views_standing.standing(connection, owner_id, aim.execution_id)
    return Look(
        head=head(detail),
        cause=cause(detail),
        bars=arranged(bars(detail, parked), definition, waiting_notes(detail.steps)),
        note=detail.cancel_note or "",
        input=pretty(detail.input),
        output=_told(detail.output, detail.large.get("output")),
        output_file=_file(detail.large, f"/api/executions/{aim.execution_id}/{{}}", "output"),
        events=[event_line(event) for event in events],
        lines=[log_line(line) for line in lines],
        things=things(aim.execution_id, found, aim.things, bodies),
        picked=_pick(connection, owner_id, aim, detail),
        naps=parked,
        stage=stage(standing, definition, _graces()),
        family=family(detail),
        asks=asks(asked, viewer.name),
        decided=decided(views_standing.decisions(connection, owner_id, aim.execution_id)),
    )


def _asked(connection: Any, owner_id: str, detail: ExecutionDetail) -> list[AskRow]:
    if detail.row.finished_at is not None:
        return []
    return views_standing.asks(connection, owner_id, detail.row.id)


def _graces() -> Graces:
    settings = client().settings
    return Graces(settings.cancel_grace_seconds, settings.cancel_interrupt_seconds)


def _pick(connection: Any, owner_id: str, aim: Aim, detail: ExecutionDetail) -> Picked | None:
    """Return the step's values, or None when nothing about it has changed since."""
    step = _chosen(aim.step, detail)
    if step is None:
        return None
    stamp = f"{step.name} {aim.item} {step.status} {step.attempts} {step.crashes} {step.items_left}"
    stamp += f" {progress(step.progress)}"
    if stamp == aim.stamp:
        return None
    item = aim.item if step.items is not None and 0 <= aim.item < step.items else None
    values = views.step(connection, owner_id, detail.row.id, step.index, item)
    items = _items(connection, owner_id, detail.row.id, step)
    picked = _picked(stamp, step, values, items, detail.row.id)
    return _with_failed(connection, owner_id, detail.row.id, step, picked)


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
