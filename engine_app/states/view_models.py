"""From what the store tells to what a page draws. Pure; times stay microseconds, 0 is never."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.event import EventType
from engine.core.status import STEP_ENDS, Reason
from engine.flow import error_text
from engine.store.reads import (
    AttemptRow,
    EventView,
    ExecutionDetail,
    ExecutionRow,
    Large,
    LogView,
    StepRow,
)
from engine_app.escapes import without_escapes

_LONGEST_TEXT = 20_000  # characters of a value on screen; the API gives it whole
_LONGEST_DATA = 300  # characters of an event's facts in the list; the download has them whole
_HERE = f"{Path.cwd()}/"
_ENDS = frozenset(status.value for status in STEP_ENDS)
_SAID = {"cached": "from the cache", "not_needed": "not needed", "rejected": "rejected"}
_KINDS = {"completed": "", "running": "r", "failed": "f", "cancelled": "c", "skipped": "c"}


@dataclass(frozen=True)
class Line:
    """A row of a list of executions."""

    id: str = ""
    workflow: str = ""
    workflow_id: str = ""
    version: int = 0
    status: str = ""
    why: str = ""
    trigger: str = ""
    created: int = 0
    started: int = 0
    finished: int = 0
    done: int = 0
    total: int = 0
    share: str = "0%"
    schedule: str = ""  # the id of what started it


def line(row: ExecutionRow) -> Line:
    """Return an execution as a row of a list."""
    detail = f"{row.trigger} · {row.trigger_detail}" if row.trigger_detail else row.trigger
    return Line(
        id=row.id,
        workflow=row.workflow,
        workflow_id=row.workflow_id,
        version=row.version,
        status=row.status,
        why=row.detail,
        trigger=detail,
        created=row.created_at,
        started=row.started_at or 0,
        finished=row.finished_at or 0,
        done=row.runs_done,
        total=row.runs_total,
        share=f"{100 * row.runs_done // row.runs_total if row.runs_total else 0}%",
        schedule=row.schedule_id or "",
    )


@dataclass(frozen=True)
class Bar:
    """A row of the timeline. ``segs`` are [kind, from, to]; to 0 grows with the clock.

    From ``started`` to ``finished`` is all that it took: every try, and the waits between them.
    """

    name: str = ""
    uses: str = ""
    status: str = ""
    note: str = ""
    label: str = ""  # what a closing step is there for
    group: str = ""  # the heading above this row
    started: int = 0
    finished: int = 0
    segs: list[list[Any]] = field(default_factory=list)


Naps = dict[str, list[list[int]]]  # per step: parked from, till (0: still)


def naps(known: Naps, events: Sequence[EventView]) -> Naps:
    """Return when each step was parked, with what further events tell: its row forgets it."""
    found = {name: [list(nap) for nap in told] for name, told in known.items()}
    for event in events:
        if event.step is None or event.item is not None:
            continue
        told = found.get(event.step, [])
        if told and event.at <= told[-1][0]:
            continue  # told before
        if event.type == EventType.STEP_WAITING:
            found[event.step] = [*told, [event.at, 0]]
        elif told and not told[-1][1]:
            told[-1][1] = event.at
    return found


def bars(detail: ExecutionDetail, parked: Naps) -> list[Bar]:
    """Return one row per step, in the document's order."""
    tries: dict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in detail.attempts:
        if attempt.item is None:
            tries[attempt.step].append(attempt)
    return [_bar(step, tries[step.name], parked.get(step.name, [])) for step in detail.steps]


def _bar(step: StepRow, tries: Sequence[AttemptRow], parked: Sequence[list[int]]) -> Bar:
    slept: list[list[Any]] = [["z", start, end] for start, end in parked if end]
    segs = slept + _segments(step, tries)
    return Bar(
        name=step.name,
        uses=step.uses,
        status=step.status,
        note=_note(step),
        started=min((seg[1] for seg in segs if seg[0] != "w"), default=0),
        finished=step.finished_at or 0,
        segs=segs,
    )


def _note(step: StepRow) -> str:
    if step.reason in _SAID:
        return _SAID[step.reason]
    if step.items is not None:
        return _items(step, step.items)
    if step.status == "running" and step.progress:
        return progress(step.progress)
    if step.attempts > 1 or step.status == "retrying":
        return f"× {step.attempts} of {max(step.max_attempts, step.attempts)}"
    if step.crashes:
        return f"{step.crashes} lost worker" + ("s" if step.crashes > 1 else "")
    return "reused" if step.reused_from else ""


def _items(step: StepRow, items: int) -> str:
    """Return how far a fan-out is; once it has ended, only how many of its items failed."""
    if step.status == "completed":
        return f"{step.items_failed} of {items} failed" if step.items_failed else f"{items} items"
    failed = f", {step.items_failed} failed" if step.items_failed else ""
    return f"{items - (step.items_left or 0)} of {items}{failed}"


def _segments(step: StepRow, tries: Sequence[AttemptRow]) -> list[list[Any]]:
    """Return waiting and running stretches, each failed try on its own."""
    found: list[list[Any]] = []
    at = step.queued_at or 0
    for attempt in tries:
        begun = attempt.started_at or attempt.finished_at
        if at and begun > at:
            found.append(["w", at, begun])
        kind = "f" if attempt.outcome in ("failed", "crashed") else "c"
        found.append([kind, begun, attempt.finished_at])
        at = attempt.finished_at
    return found + _latest(step, at, bool(tries))


def _latest(step: StepRow, at: int, tried: bool) -> list[list[Any]]:
    begun, ended = step.started_at or 0, step.finished_at or 0
    told = tried and bool(ended) and step.status == "failed" and ended <= at
    if begun > at or (begun and not tried):
        wait = [["w", at, begun]] if at and begun > at else []
        if step.status in _ENDS or step.status == "running":
            return [] if told else [*wait, [_KINDS.get(step.status, "r"), begun, ended]]
        if step.status == "waiting":
            return [*wait, ["z", begun, 0]]
        return wait
    if step.status == "running" and begun:
        return [["r", begun, 0]]
    return [["w", at, 0]] if at and step.status not in _ENDS else []


@dataclass(frozen=True)
class Head:
    """What stands above an execution's tabs."""

    id: str = ""
    workflow: str = ""
    workflow_id: str = ""
    version: int = 0
    status: str = ""
    why: str = ""
    trigger: str = ""
    created: int = 0
    started: int = 0
    finished: int = 0
    steps: str = ""
    is_open: bool = False
    is_cancelling: bool = False
    origin: str = ""
    events: int = 0


def head(detail: ExecutionDetail) -> Head:
    """Return an execution's header."""
    row = detail.row
    # As the list counts: a step that never came to its turn ended, but nothing was done.
    dropped = {"upstream_failed", "cancelled_by_user"}
    ended = sum(step.status in _ENDS and step.reason not in dropped for step in detail.steps)
    is_open = row.finished_at is None
    return Head(
        id=row.id,
        workflow=row.workflow,
        workflow_id=row.workflow_id,
        version=row.version,
        status=row.status,
        why=row.detail,
        trigger=line(row).trigger,
        created=row.created_at,
        started=row.started_at or 0,
        finished=row.finished_at or 0,
        steps=f"{ended} of {len(detail.steps)}",
        is_open=is_open,
        is_cancelling=is_open and row.cancel_requested_at is not None,
        origin=row.origin_id or "",
        events=row.last_seq,
    )


@dataclass(frozen=True)
class Cause:
    """Why an execution failed, before anything else."""

    title: str = ""
    text: str = ""
    trace: str = ""


def cause(detail: ExecutionDetail) -> Cause:
    """Return the cause of a failure; an empty one when nothing failed."""
    if detail.row.status != "failed":
        return Cause()
    error = detail.error or {}
    step = next((step for step in detail.steps if step.name == error.get("step")), None)
    message = str(error.get("message") or detail.row.detail)
    return Cause(
        title=f"{_where(error, step)}: {message}" if step else message,
        text=_cause_text(error, detail),
        trace=_trace(error),
    )


def _trace(error: Mapping[str, Any] | None) -> str:
    """Return where it happened and what led to it, files named from the engine's own folder."""
    return error_text.whole(error).replace(_HERE, "")


def _where(error: Mapping[str, Any], step: StepRow | None) -> str:
    if step is None:
        return ""
    item = f" [{error['item']}]" if error.get("item") is not None else ""
    tries = max(step.attempts, 1)
    last = "only" if tries == 1 else f"{_ordinal(tries)} and last"
    return f"{step.name}{item} failed on its {last} attempt"


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _cause_text(error: Mapping[str, Any], detail: ExecutionDetail) -> str:
    skipped = sum(step.status in ("skipped", "cancelled", "pending") for step in detail.steps)
    parts = [str(error["type"])] if error.get("type") else []
    if detail.row.reason not in (None, Reason.STEP_FAILED, Reason.ERROR):
        parts.append(f"reason {detail.row.reason.replace('_', ' ')}")
    if skipped:
        parts.append(f"{skipped} step{'s' if skipped > 1 else ''} after it did not run")
    return " · ".join(parts)


def event_line(event: EventView) -> list[Any]:
    """Return an event as the tab's list takes it: [number, type, step, time, attempt, data]."""
    where = event.step or ""
    if event.item is not None:
        where += f" [{event.item}]"
    data = json.dumps(event.data, ensure_ascii=False) if event.data else ""
    if len(data) > _LONGEST_DATA:
        data = data[: _LONGEST_DATA - 1] + "…"
    return [event.seq, event.type, where, event.at, event.attempt or 0, data]


def log_line(line: LogView) -> list[Any]:
    """Return a log line as the tail takes it: [number, step, time, level, text]."""
    item = f"[{line.item}] " if line.item is not None else ""
    return [line.seq, line.step, line.at, line.level.lower(), item + without_escapes(line.message)]


@dataclass(frozen=True)
class Try:
    """An attempt of a step that did not complete."""

    title: str = ""
    started: int = 0
    finished: int = 0
    message: str = ""
    trace: str = ""


def tries(attempts: Iterable[AttemptRow]) -> list[Try]:
    """Return the failed attempts of a step, oldest first."""
    return [
        Try(
            title=f"attempt {row.attempt} · {row.outcome} · {row.reason.replace('_', ' ')}",
            started=row.started_at or row.finished_at,
            finished=row.finished_at,
            message=_message(row.error),
            trace=_trace(row.error),
        )
        for row in attempts
    ]


def _message(error: Mapping[str, Any] | None) -> str:
    if not error:
        return ""
    kind = f"{error['type']}: " if error.get("type") else ""
    return kind + str(error.get("message") or "")


def pretty(value: Any) -> str:
    """Return a value as indented JSON, cut where nobody would read on."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if len(text) <= _LONGEST_TEXT:
        return text
    rest = f"… {len(text) - _LONGEST_TEXT:,} more characters; the API gives all"
    return f"{text[:_LONGEST_TEXT]}\n{rest}"


def begun(found: Large) -> str:
    """Return how a value begins that is too large for a page."""
    size = "" if found.size is None else f" of {found.size:,} bytes"
    return f"{found.preview}\n… the beginning{size}; the download has it all"


def progress(told: Mapping[str, Any] | None) -> str:
    """Return what an attempt says of itself: "40 of 100 · pages"; nothing when it said nothing."""
    if not told:
        return ""
    done, total = _amount(told["done"]), told.get("total")
    words = done if total is None else f"{done} of {_amount(total)}"
    return f"{words} · {told['note']}" if told.get("note") else words


def _amount(number: float) -> str:
    return f"{number:,.15g}"
