"""What must hold for any history: read from the database alone, whatever was killed meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from engine.codec import decode
from engine.definition import Definition, parse
from engine.store.database import Database
from tests.support.effects import Effect

_ENDS = {"completed", "failed", "cancelled"}
_STEP_ENDS = {*_ENDS, "skipped"}
# What each fact says of its step run, and where the step run may have stood before. A step run is
# "open" until its first fact: becoming ready leaves none.
_MOVES = {
    "step_expanded": ({"open", "queued"}, "running"),
    "step_started": ({"open", "queued", "retrying", "waiting"}, "running"),
    "step_waiting": ({"running"}, "waiting"),
    "step_woken": ({"retrying", "waiting"}, "queued"),
    "step_retrying": ({"running", "waiting"}, "retrying"),
    "step_released": ({"running"}, "queued"),
    "step_crashed": ({"running"}, "queued"),
    # Waiting: its answer came. Not running: an earlier result was taken.
    "step_completed": ({"running", "waiting", "open", "queued", "retrying"}, "completed"),
    "step_failed": ({"running", "waiting", "open", "queued"}, "failed"),
    "step_skipped": ({"open", "queued"}, "skipped"),
    "step_cancelled": ({"running"}, "cancelled"),
    "step_unknown": ({"open", "queued"}, "queued"),
}
_STANDS = {"open": {"pending", "queued"}}
_MOVES_EXECUTION = {
    "created": "pending",
    "started": "running",
    "waiting": "waiting",
    "paused": "paused",
    "closing": "running",
}

Key = tuple[int, int]


@dataclass
class History:
    """One execution as the database tells it."""

    head: Any
    definition: Definition
    runs: dict[Key, Any] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)
    attempts: dict[Key, list[Any]] = field(default_factory=lambda: defaultdict(list))
    lines: list[int] = field(default_factory=list)


def check(
    database: Database,
    *,
    effects: Iterable[Effect] = (),
    all_ended: bool = True,
    max_crashes: int = 3,
) -> None:
    """Raise AssertionError with every breach of an invariant in the database.

    Args:
        database: to read.
        effects: what steps did; each key must belong to one step run, and each step run to one key.
        all_ended: whether every execution must have ended by now.
        max_crashes: the workers' limit.
    """
    faults: list[str] = []
    histories = database.read(_histories)
    for history in histories:
        found = [
            *_numbers(history),
            *_steps_follow_the_table(history),
            *_execution_follows_the_table(history, all_ended=all_ended),
            *_order(history),
            *_epochs(history),
            *_limits(history, max_crashes),
            *_counters(history),
        ]
        faults += [f"{history.head.id} ({history.definition.name}): {fault}" for fault in found]
    faults += _keys(effects)
    faults += database.read(_slots)
    assert not faults, "\n".join(faults)
    assert histories, "no execution at all: nothing was shown"


def _histories(connection: Any) -> list[History]:
    documents = {
        (row.workflow_id, row.number): parse(decode(row.document))
        for row in connection.execute(text("SELECT * FROM workflow_versions"))
    }
    found = {
        row.id: History(row, documents[(row.workflow_id, row.version)])
        for row in connection.execute(text("SELECT * FROM executions ORDER BY id"))
    }
    for row in connection.execute(text("SELECT * FROM step_runs")):
        found[row.execution_id].runs[(row.step, row.item)] = row
    for row in connection.execute(text("SELECT * FROM events ORDER BY execution_id, seq")):
        found[row.execution_id].events.append(row)
    for row in connection.execute(text("SELECT * FROM attempts ORDER BY finished_at, epoch")):
        found[row.execution_id].attempts[(row.step, row.item)].append(row)
    for row in connection.execute(text("SELECT * FROM logs ORDER BY execution_id, seq")):
        found[row.execution_id].lines.append(row.seq)
    return list(found.values())


def _key(event: Any) -> Key:
    return event.step, -1 if event.item is None else event.item


def _numbers(history: History) -> Iterator[str]:
    """7: events and log lines are numbered 1..n."""
    numbers = [event.seq for event in history.events]
    if numbers != list(range(1, history.head.last_seq + 1)):
        yield f"events are numbered {numbers}, the head says {history.head.last_seq}"
    if history.lines != list(range(1, history.head.last_log + 1)):
        yield f"lines are numbered {history.lines}, the head says {history.head.last_log}"


def _steps_follow_the_table(history: History) -> Iterator[str]:
    """2, 4, 7: each fact follows from those before; together they give the stored status."""
    stands: dict[Key, str] = defaultdict(lambda: "open")
    for event in history.events:
        if event.step is None:
            continue
        key = _key(event)
        sources, target = _MOVES[event.type]
        if stands[key] not in sources:
            yield f"event {event.seq}: {event.type} of {key}, which was {stands[key]}"
        stands[key] = target
    closing = history.head.ending is not None
    for key, run in history.runs.items():
        told = stands[key]
        if run.reused_from is not None:
            continue
        # What is dropped when the execution begins to end leaves no fact of its own.
        dropped = closing and told not in _STEP_ENDS and run.status in _STEP_ENDS - {"completed"}
        if run.status not in _STANDS.get(told, {told}) and not dropped:
            yield f"step run {key} is {run.status}, its events say {told}"


def _execution_follows_the_table(history: History, *, all_ended: bool) -> Iterator[str]:
    """1, 2, 7: exactly one end, the last of the facts; folding the facts gives the status."""
    told, planned, ended_at = "", False, None
    for event in history.events:
        if ended_at is not None:
            yield f"event {event.seq} ({event.type}) comes after the end at {ended_at}"
        if event.type in _ENDS:
            told, ended_at = event.type, event.seq
        elif event.step is not None:
            told = "running" if told == "waiting" else told
        elif event.type == "resumed":
            told = "running" if planned else "pending"
        elif event.type != "closing" or told != "paused":
            planned = planned or event.type == "started"
            told = _MOVES_EXECUTION.get(event.type, told)
    status = history.head.status
    # A fact about a running step run may leave the others parked: then nothing new is said.
    if told != status and not {told, status} <= {"running", "waiting"}:
        yield f"status is {status}, the events say {told}"
    if all_ended and status not in _ENDS:
        yield f"status is {status}: it never ended"
    if status in _ENDS and history.head.finished_at is None:
        yield f"it is {status} without an end time"
    if status in _ENDS:
        left = [key for key, run in history.runs.items() if run.status not in _STEP_ENDS]
        if left:
            yield f"it is {status} with open step runs {left[:5]}"


def _order(history: History) -> Iterator[str]:
    """11, 13: nothing starts before what it needs has ended, nor after a cancel."""
    ended: set[int] = {
        step for (step, item), run in history.runs.items() if item < 0 and run.reused_from
    }
    expanded: set[int] = set()
    cancelled = False
    for event in history.events:
        # Steps that run at the end start after the cancel that ends it.
        cancelled = (cancelled or event.type == "cancel_requested") and event.type != "closing"
        if event.step is None:
            continue
        step, item = _key(event)
        if event.type in ("step_started", "step_expanded"):
            missing = set(history.definition.steps[step].needs) - ended
            if missing:
                yield f"event {event.seq}: {(step, item)} starts before {missing} ended"
            if cancelled:
                yield f"event {event.seq}: {(step, item)} starts after the cancel"
            if item >= 0 and step not in expanded:
                yield f"event {event.seq}: item {(step, item)} starts before its fan-out"
        if event.type == "step_expanded":
            expanded.add(step)
        if item < 0 and event.type in ("step_completed", "step_skipped", "step_failed"):
            ended.add(step)  # what may not follow a failure is skipped, or never starts


def _epochs(history: History) -> Iterator[str]:
    """3: epochs rise with each attempt that did not complete, and the last is the row's."""
    for key, tried in history.attempts.items():
        epochs = [row.epoch for row in tried]
        if epochs != sorted(set(epochs)):
            yield f"the attempts of {key} end with epochs {epochs}"
        run = history.runs[key]
        if run.status == "completed" and run.epoch <= epochs[-1]:
            yield f"{key} completed under epoch {run.epoch}, given up at {epochs[-1]}"


def _limits(history: History, max_crashes: int) -> Iterator[str]:
    """9: attempts and crashes stay within their limits."""
    for key, run in history.runs.items():
        if run.reused_from is not None:
            continue
        limit = history.definition.steps[key[0]].retry.attempts
        if not 0 <= run.attempts <= limit:
            yield f"{key} has {run.attempts} attempts of {limit}"
        if run.crashes > max_crashes:
            yield f"{key} has {run.crashes} crashes of {max_crashes}"
        outcomes = [row.outcome for row in history.attempts.get(key, [])]
        if outcomes.count("crashed") != run.crashes:
            yield f"{key} has {run.crashes} crashes and the attempts {outcomes}"


def _counters(history: History) -> Iterator[str]:
    """The head's counters are those of its rows."""
    head, runs = history.head, history.runs
    # A fan-out's own row runs without a claim: it is not counted as active.
    active = sum(
        run.status == "queued" or (run.status == "running" and run.items is None)
        for run in runs.values()
    )
    if head.active != active:
        yield f"active is {head.active}, {active} step runs are queued or running"
    if head.status == "completed" and (head.steps_left or head.runs_done != head.runs_total):
        yield f"completed with {head.steps_left} left, {head.runs_done} of {head.runs_total} done"
    nodes = {step: run for (step, item), run in runs.items() if item < 0}
    if head.ending is None:
        left = sum(run.status not in _STEP_ENDS for run in nodes.values())
        if runs and head.steps_left != left:
            yield f"steps_left is {head.steps_left}, {left} nodes have not ended"
    for step, node in nodes.items():
        if node.items is None or head.ending is not None or node.reused_from is not None:
            continue
        items = [run for (of, item), run in runs.items() if of == step and item >= 0]
        open_items = sum(run.status not in _STEP_ENDS for run in items)
        if len(items) != node.items or node.items_left != open_items:
            yield f"fan-out {step}: {node.items_left} of {node.items} left, {open_items} are open"


def _keys(effects: Iterable[Effect]) -> Iterator[str]:
    """5: one key per step run, one step run per key."""
    keys: dict[tuple[str, str, int | None], set[str]] = defaultdict(set)
    owners: dict[str, set[tuple[str, str, int | None]]] = defaultdict(set)
    for effect in effects:
        run = (effect.execution, effect.step, effect.item)
        keys[run].add(effect.key)
        owners[effect.key].add(run)
    for names in (keys, owners):
        for name, others in names.items():
            if len(others) != 1:
                yield f"{name} has {sorted(map(str, others))}"


def _slots(connection: Any) -> list[str]:
    """6: one execution per (schedule, slot)."""
    rows = connection.execute(
        text(
            "SELECT schedule_id, slot, count(*) AS times FROM executions"
            " WHERE schedule_id IS NOT NULL GROUP BY schedule_id, slot HAVING count(*) > 1"
        )
    )
    return [f"schedule {row.schedule_id} fired {row.times} × for slot {row.slot}" for row in rows]
