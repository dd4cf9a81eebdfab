"""Judge a history by what must hold for any: what is done and written. Pure.

``liveness_checks.py`` judges what is still to be done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from engine.core.counters import counted
from engine.core.finding import Finding, Rule
from engine.core.history import EventRecord, History, Key, RunRecord
from engine.core.status import EXECUTION_ENDS, STEP_ENDS, Reason
from engine.definition import OnFailure
from engine.definition.model import ACTOR_QUEUE

SKEW = 1_000_000  # µs by which the clocks of two processes may differ
SURELY_WHOLE = 1_000  # lines up to which no log has lost its middle (``attempt_log.MAX_LINES``)
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
    "step_completed": ({"running", "waiting"}, "completed"),
    "step_failed": ({"running", "waiting", "open", "queued"}, "failed"),
    "step_skipped": ({"open", "queued"}, "skipped"),
    "step_cancelled": ({"running"}, "cancelled"),
    "step_unknown": ({"open", "queued"}, "queued"),
}
_STANDS = {"open": {"pending", "queued"}}
_PARKED = {"retrying", "waiting"}
# What becomes by these facts of the step runs that no worker holds.
_DROPS = {"cancel_requested": "cancelled", "timed_out": "skipped"}


def judge(history: History, *, max_crashes: int) -> Iterator[Finding]:
    """Yield every breach of an invariant by what the history tells.

    Args:
        history: of one execution.
        max_crashes: the workers' limit.
    """
    yield from _numbers(history)
    yield from _ends(history)
    yield from _epochs(history)
    if history.definition is None:
        if history.head.status not in EXECUTION_ENDS:
            yield _found(history, Rule.UNREADABLE, history.unreadable)
        return
    yield from _steps_follow_the_table(history)
    yield from _execution_follows_the_table(history)
    yield from _order(history)
    yield from _limits(history, max_crashes)
    yield from _counters(history)


def _found(history: History, rule: Rule, what: str, key: Key | None = None) -> Finding:
    if key is None:
        return Finding(rule, what, history.head.id)
    return Finding(rule, what, history.head.id, key[0], key[1])


def _numbers(history: History) -> Iterator[Finding]:
    """7: events are numbered 1..n, and log lines too, but for those that a long log has lost."""
    head = history.head
    numbers = [event.seq for event in history.events]
    last = max(numbers, default=0)
    if len(numbers) != last or last < head.last_seq:
        what = f"{len(numbers)} events, numbered up to {last}; the execution says {head.last_seq}"
        yield _found(history, Rule.EVENTS_MISSING, what)
    if last > head.last_seq:
        what = f"event {last} is there, the execution says {head.last_seq}"
        yield _found(history, Rule.NUMBER_BEHIND, what)
    gap = history.lines != history.last_line and history.last_line <= SURELY_WHOLE
    if gap or history.last_line < head.last_log:
        what = f"{history.lines} lines, numbered up to {history.last_line}"
        what += f"; the execution says {head.last_log}"
        yield _found(history, Rule.LINES_MISSING, what)
    if history.last_line > head.last_log:
        what = f"line {history.last_line} is there, the execution says {head.last_log}"
        yield _found(history, Rule.NUMBER_BEHIND, what)


def _ends(history: History) -> Iterator[Finding]:
    """1: an ended execution has an end time, and nothing of it is open."""
    head = history.head
    if head.status not in EXECUTION_ENDS:
        return
    if head.finished_at is None:
        yield _found(history, Rule.NO_END_TIME, f"it is {head.status} without an end time")
    left = [run.key for run in history.runs.values() if run.status not in STEP_ENDS]
    if left:
        what = f"it is {head.status} with {len(left)} open step runs, the first is {left[0]}"
        yield _found(history, Rule.OPEN_AFTER_END, what)


def _steps_follow_the_table(history: History) -> Iterator[Finding]:
    """2, 4, 7: each fact follows from those before; together they give the stored status."""
    stands: dict[Key, str] = defaultdict(lambda: "open")
    closing = False
    for event in history.events:
        if event.step is None:
            _drop(history, stands, event, closing=closing)
            closing = closing or event.type == "closing"
            continue
        key = event.key
        if event.type not in _MOVES:
            yield _found(history, Rule.ILLEGAL_MOVE, f"event {event.seq}: {event.type}", key)
            continue
        sources, target = _MOVES[event.type]
        if stands[key] not in sources | _shortcuts(history.runs.get(key), event.type):
            what = f"event {event.seq}: {event.type}, but it was {stands[key]}"
            yield _found(history, Rule.ILLEGAL_MOVE, what, key)
        stands[key] = target
        _drop(history, stands, event, closing=closing)
    for key, run in history.runs.items():
        if run.reused_from is None and not _agree(history, run, stands[key]):
            what = f"it is {run.status}, its events say {stands[key]}"
            yield _found(history, Rule.STATUS_UNTOLD, what, key)


def _drop(history: History, stands: dict[Key, str], event: EventRecord, *, closing: bool) -> None:
    """End what nobody has claimed if by this fact the execution begins to end, or is to close
    no more: none of these leaves a fact of its own."""
    end = "skipped" if event.ends else _DROPS.get(event.type)
    if end is None or history.definition is None:
        return
    if event.ends and event.key[1] >= 0:
        stands[event.key[0], -1] = "failed"
    steps = history.definition.steps
    for key, run in history.runs.items():
        mine = run.reused_from is None and key[0] < len(steps)
        if not mine or steps[key[0]].closing != closing or stands[key] in STEP_ENDS:
            continue
        if stands[key] != "running":
            stands[key] = end
        elif run.items is not None and run.item < 0:
            stands[key] = "cancelled"  # a fan-out has no claim of its own


def _shortcuts(run: RunRecord | None, event: str) -> set[str]:
    """Return where else this very step run may have stood before the event."""
    if run is None:
        return set()
    if event == "step_completed" and run.reason == Reason.CACHED:
        return {"open", "queued", "retrying"}
    # Handed to an actor it is queued, and no fact says so.
    return _PARKED if run.queue == ACTOR_QUEUE else set()


def _agree(history: History, run: RunRecord, told: str) -> bool:
    if run.status in _STANDS.get(told, {told}):
        return True
    if run.queue == ACTOR_QUEUE and run.status == "queued" and told in _PARKED:
        return True
    # Executions of before facts told what ends them, and rows that were closed by a repair.
    told_all = any(one.ends or one.type in _DROPS for one in history.events)
    if told_all and not any(one.type == "repaired" for one in history.events):
        return False
    ending = history.head.ending is not None
    return ending and told not in STEP_ENDS and run.status in STEP_ENDS - {"completed"}


def _execution_follows_the_table(history: History) -> Iterator[Finding]:
    """1, 2, 7: exactly one end, the last of the facts; folding the facts gives the status."""
    told, started = "", False
    for event in history.events:
        if told in EXECUTION_ENDS and event.type != "repaired":
            what = f"event {event.seq} ({event.type}) comes after it was {told}"
            yield _found(history, Rule.AFTER_THE_END, what)
        started = started or event.type == "started"
        told = _fold(told, event.type, of_step=event.step is not None, started=started)
    status, moving = history.head.status, {"running", "waiting"}
    # A fact about a running step run may leave the others parked: then nothing new is said. One
    # that was paused and begins to end goes on to do so.
    if history.head.ending is not None:
        moving.add("paused")
    if told != status and not {told, status} <= moving:
        yield _found(history, Rule.STATUS_UNTOLD, f"status is {status}, the events say {told}")


def _fold(told: str, event: str, *, of_step: bool, started: bool) -> str:
    if of_step:
        return "running" if told == "waiting" else told
    if event in EXECUTION_ENDS or event in ("waiting", "paused"):
        return event
    if event == "resumed":
        return "running" if started else "pending"
    if told == "paused":
        return told  # its steps at the end are planned all the same
    return {"created": "pending", "started": "running", "closing": "running"}.get(event, told)


def _order(history: History) -> Iterator[Finding]:
    """11, 13: nothing starts before what it needs has ended, nor after a cancel."""
    assert history.definition is not None
    steps = history.definition.steps
    ended = {run.step for run in history.runs.values() if run.item < 0 and run.reused_from}
    expanded: set[int] = set()
    cancelled = closing = abandoned = False
    for event in history.events:
        if event.step is None:
            abandoned = abandoned or (event.type == "cancel_requested" and closing)
            cancelled = cancelled or event.type == "cancel_requested"
            closing = closing or event.type == "closing"
            continue
        if event.step >= len(steps):
            yield _found(history, Rule.EARLY_START, "its version has no such step", event.key)
            continue
        step, (index, item) = steps[event.step], event.key
        if event.type in ("step_started", "step_expanded"):
            missing = sorted(set(step.needs) - ended)
            if missing:
                names = ", ".join(steps[need].name for need in missing)
                what = f"event {event.seq}: it starts before {names} ended"
                yield _found(history, Rule.EARLY_START, what, event.key)
            if abandoned or (cancelled and not step.closing):
                what = f"event {event.seq}: it starts after the cancel"
                yield _found(history, Rule.START_AFTER_CANCEL, what, event.key)
            if step.closing != closing:
                where = "after the steps at the end began" if closing else "before the end began"
                yield _found(history, Rule.EARLY_START, f"event {event.seq}: {where}", event.key)
            if item >= 0 and index not in expanded:
                what = f"event {event.seq}: the item starts before its fan-out"
                yield _found(history, Rule.EARLY_START, what, event.key)
        if event.type == "step_expanded":
            expanded.add(index)
        if item < 0 and event.type in ("step_completed", "step_skipped"):
            ended.add(index)
        if item < 0 and event.type == "step_failed":
            goes_on = step.closing or step.on_failure is not OnFailure.FAIL
            ended |= {index} if goes_on else set()


def _epochs(history: History) -> Iterator[Finding]:
    """3: epochs rise with each attempt that did not complete, and the last is the row's."""
    for key, tried in history.attempts.items():
        in_order = sorted(tried, key=lambda attempt: attempt.epoch)
        for before, after in pairwise(in_order):
            if after.finished_at < before.finished_at - SKEW:
                what = f"the attempt of epoch {after.epoch} ended before that of {before.epoch}"
                yield _found(history, Rule.EPOCHS, what, key)
        run, last = history.runs.get(key), in_order[-1].epoch
        if run is None:
            yield _found(history, Rule.EPOCHS, "it has attempts and no row", key)
        elif run.status == "completed" and run.epoch <= last:
            what = f"it completed under epoch {run.epoch}, given up at {last}"
            yield _found(history, Rule.EPOCHS, what, key)


def _limits(history: History, max_crashes: int) -> Iterator[Finding]:
    """9: attempts and crashes stay within their limits."""
    assert history.definition is not None
    steps = history.definition.steps
    for key, run in history.runs.items():
        if run.reused_from is not None or run.step >= len(steps):
            continue
        limit = steps[run.step].retry.attempts
        if not 0 <= run.attempts <= limit:
            yield _found(history, Rule.OVER_LIMIT, f"{run.attempts} attempts of {limit}", key)
        if run.crashes > max_crashes:
            yield _found(history, Rule.OVER_LIMIT, f"{run.crashes} crashes of {max_crashes}", key)
        crashed = sum(one.outcome == "crashed" for one in history.attempts.get(key, ()))
        if crashed != run.crashes:
            what = f"{run.crashes} crashes, and {crashed} attempts that crashed"
            yield _found(history, Rule.OVER_LIMIT, what, key)


def _counters(history: History) -> Iterator[Finding]:
    """The counters are those of the rows."""
    head = history.head
    found = counted(history)
    if head.active != found.active:
        what = f"active is {head.active}, {found.active} step runs are queued or running"
        yield _found(history, Rule.COUNTERS, what)
    if found.steps_left is not None and head.steps_left != found.steps_left:
        what = f"steps_left is {head.steps_left}, {found.steps_left} steps have not ended"
        yield _found(history, Rule.COUNTERS, what)
    if head.status == "completed" and head.runs_done != head.runs_total:
        what = f"completed with {head.runs_done} of {head.runs_total} done"
        yield _found(history, Rule.COUNTERS, what)
    for step, left in found.items_left.items():
        node = history.runs[(step, -1)]
        if node.items_left != left:
            what = f"{node.items_left} of {node.items} items left, {left} are open"
            yield _found(history, Rule.COUNTERS, what, node.key)
        if node.items != found.item_rows[step]:
            what = f"it has {node.items} items, {found.item_rows[step]} rows are there"
            yield _found(history, Rule.STATUS_UNTOLD, what, node.key)
    for step, left in found.needs_left.items():
        node = history.runs[(step, -1)]
        if node.needs_left != left or left == 0:
            what = f"it waits for {node.needs_left} steps, {left} have not ended"
            yield _found(history, Rule.COUNTERS, what, node.key)
