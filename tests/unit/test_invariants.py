"""The judges find each invariant that is broken once, and nothing in a sound history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.core.finding import RULES, Rule
from engine.core.history import (
    AttemptRecord,
    ChildRecord,
    EventRecord,
    HeadRecord,
    History,
    NoticeRecord,
    RunRecord,
    World,
)
from engine.core.invariants import SURELY_WHOLE, judge
from engine.core.liveness_checks import judge_owed
from engine.definition import parse
from engine.steps.attempt_log import MAX_LINES

NOW = 1_800_000_000_000_000
SECOND = 1_000_000
WORLD = World(NOW, 15 * SECOND, frozenset({"w1"}))
LATE = World(NOW, 15 * SECOND, frozenset({"w1"}), {"steps": NOW, "dispatch": NOW})
Mutation = Callable[[History], Any]


def _step(value: Any, **more: Any) -> dict[str, Any]:
    return {"uses": "transform", "with": {"value": value}, **more}


DEFINITION = parse(
    {
        "name": "sound",
        "steps": {
            "a": _step(1),
            "each": _step("${{ item }}", for_each="${{ [1, 2] }}", needs=["a"]),
            "b": _step("${{ steps.each.output }}"),
            "tidy": _step(1),
        },
        "finally": ["tidy"],
    }
)
A, EACH, B, TIDY = 0, 1, 2, 3


def head(**values: Any) -> HeadRecord:
    columns: dict[str, Any] = dict.fromkeys(HeadRecord.__dataclass_fields__)
    columns |= {"id": "e", "status": "running", "phase": "steps", "version": 1}
    counters = ("last_seq", "last_log", "active", "steps_left", "runs_total", "runs_done")
    return HeadRecord(**{**columns, **dict.fromkeys(counters, 0), "leaves_parent": False, **values})


def run(step: int, status: str, item: int = -1, **values: Any) -> RunRecord:
    columns: dict[str, Any] = dict.fromkeys(RunRecord.__dataclass_fields__)
    columns |= {"step": step, "item": item, "status": status, "queue": "steps", "epoch": 1}
    columns |= {"attempts": 1, "crashes": 0, "needs_left": 0}
    return RunRecord(**{**columns, **values})


def history(
    top: HeadRecord, runs: list[RunRecord], events: list[tuple[str, int | None, int | None]]
) -> History:
    numbered = [EventRecord(seq, *event) for seq, event in enumerate(events, 1)]
    top = replace(top, last_seq=len(numbered))
    return History(top, DEFINITION, runs={one.key: one for one in runs}, events=numbered)


def ended() -> History:
    """An execution that completed, and closed."""
    facts: list[tuple[str, int | None, int | None]] = [
        *[("created", None, None), ("started", None, None)],
        *[("step_started", A, -1), ("step_completed", A, -1), ("step_expanded", EACH, -1)],
        *[("step_started", EACH, 0), ("step_crashed", EACH, 0), ("step_started", EACH, 0)],
        *[("step_completed", EACH, 0), ("step_started", EACH, 1), ("step_completed", EACH, 1)],
        *[("step_completed", EACH, -1), ("step_started", B, -1), ("step_completed", B, -1)],
        *[("closing", None, None), ("step_started", TIDY, -1), ("step_completed", TIDY, -1)],
        ("completed", None, None),
    ]
    runs = [
        run(A, "completed"),
        run(EACH, "completed", attempts=0, items=2, items_left=0),
        run(EACH, "completed", 0, epoch=2, crashes=1),
        run(EACH, "completed", 1),
        run(B, "completed"),
        run(TIDY, "completed"),
    ]
    top = head(
        status="completed", phase="closing", finished_at=NOW, runs_total=5, runs_done=5, last_log=3
    )
    found = history(top, runs, facts)
    found.attempts[(EACH, 0)] = [AttemptRecord(EACH, 0, 1, "crashed", NOW)]
    found.lines = found.last_line = 3
    return found


def under_way() -> History:
    """An execution whose fan-out runs: an item is claimed, the other queued."""
    facts: list[tuple[str, int | None, int | None]] = [
        *[("created", None, None), ("started", None, None)],
        *[("step_started", A, -1), ("step_completed", A, -1), ("step_expanded", EACH, -1)],
        ("step_started", EACH, 0),
    ]
    queued = {"due_at": NOW - 5 * SECOND, "queued_at": NOW - 5 * SECOND, "attempts": 0}
    runs = [
        run(A, "completed"),
        run(EACH, "running", attempts=0, items=2, items_left=2),
        run(EACH, "running", 0, worker_id="w1", due_at=NOW + 60 * SECOND),
        run(EACH, "queued", 1, **queued),
        run(B, "pending", attempts=0, epoch=0, needs_left=1),
    ]
    top = head(active=2, steps_left=2, runs_total=4, runs_done=1)
    return history(top, runs, facts)


def pending() -> History:
    """An execution that was accepted a moment ago."""
    return history(head(status="pending", due_at=NOW - SECOND), [], [("created", None, None)])


def parked(status: str = "waiting", **values: Any) -> History:
    """An execution whose only open step runs are parked, or wait for them."""
    facts: list[tuple[str, int | None, int | None]] = [
        *[("created", None, None), ("started", None, None), ("step_started", A, -1)],
        *[(f"step_{status}", A, -1), ("waiting", None, None)],
    ]
    runs = [
        run(A, status, epoch=2, attempts=0, **values),
        run(EACH, "pending", attempts=0, needs_left=1),
        run(B, "pending", attempts=0, needs_left=1),
    ]
    top = head(status="waiting", steps_left=3, runs_total=3)
    return history(top, runs, facts)


def found_in(one: History, world: World = WORLD) -> set[Rule]:
    judged = [*judge(one, max_crashes=3), *judge_owed(one, world)]
    return {finding.rule for finding in judged}


@pytest.mark.parametrize(
    "sound",
    [
        ended(),
        under_way(),
        pending(),
        parked(due_at=NOW + SECOND),
        parked(wait_for="approval"),
        parked(wait_for="workflow", due_at=NOW + SECOND),
    ],
)
def test_nothing_is_found_in_a_sound_history(sound: History) -> None:
    assert found_in(sound) == set()


def of_head(**values: Any) -> Mutation:
    def mutate(one: History) -> None:
        one.head = replace(one.head, **values)

    return mutate


def of_run(step: int, item: int = -1, **values: Any) -> Mutation:
    def mutate(one: History) -> None:
        one.runs[(step, item)] = replace(one.runs[(step, item)], **values)

    return mutate


def of_event(seq: int, **values: Any) -> Mutation:
    def mutate(one: History) -> None:
        one.events[seq - 1] = replace(one.events[seq - 1], **values)

    return mutate


def of_history(**values: Any) -> Mutation:
    def mutate(one: History) -> None:
        for name, value in values.items():
            setattr(one, name, value)

    return mutate


def without_event(seq: int) -> Mutation:
    return lambda one: one.events.pop(seq - 1)


def with_event(*event: Any) -> Mutation:
    def mutate(one: History) -> None:
        seq = len(one.events) + 1
        one.events.append(EventRecord(seq, *event))
        one.head = replace(one.head, last_seq=seq)

    return mutate


def without_run(step: int, item: int) -> Mutation:
    return lambda one: one.runs.pop((step, item))


TRIED = AttemptRecord(A, -1, 1, "failed", NOW)
TABLE: list[tuple[Callable[[], History], Mutation, Rule]] = [
    (ended, without_event(5), Rule.EVENTS_MISSING),
    (ended, of_head(last_seq=30), Rule.EVENTS_MISSING),
    (ended, of_history(lines=2), Rule.LINES_MISSING),
    (ended, of_history(lines=999, last_line=1_000), Rule.LINES_MISSING),
    (ended, of_head(last_log=4), Rule.LINES_MISSING),
    (under_way, of_head(last_seq=5), Rule.NUMBER_BEHIND),
    (ended, of_head(last_log=2), Rule.NUMBER_BEHIND),
    (ended, of_event(4, type="step_started"), Rule.ILLEGAL_MOVE),
    (ended, of_event(4, type="step_teleported"), Rule.ILLEGAL_MOVE),
    (ended, of_run(B, status="failed"), Rule.STATUS_UNTOLD),
    (under_way, of_head(status="paused"), Rule.STATUS_UNTOLD),
    (under_way, without_run(EACH, 1), Rule.STATUS_UNTOLD),
    (ended, with_event("started", None, None), Rule.AFTER_THE_END),
    (ended, of_head(finished_at=None), Rule.NO_END_TIME),
    (ended, of_run(TIDY, status="queued"), Rule.OPEN_AFTER_END),
    (ended, of_event(4, step=B), Rule.EARLY_START),
    (ended, of_event(5, type="step_skipped"), Rule.EARLY_START),
    (ended, of_event(15, type="waiting"), Rule.EARLY_START),
    (ended, of_event(13, step=TIDY), Rule.EARLY_START),
    (ended, of_event(2, type="cancel_requested"), Rule.START_AFTER_CANCEL),
    (ended, of_event(9, step=9), Rule.EARLY_START),
    (ended, of_history(attempts={(A, -1): [TRIED]}), Rule.EPOCHS),
    (
        ended,
        of_history(
            attempts={(A, -1): [TRIED, replace(TRIED, epoch=0, finished_at=NOW + 2 * SECOND)]}
        ),
        Rule.EPOCHS,
    ),
    (ended, of_history(attempts={(A, 7): [TRIED]}), Rule.EPOCHS),
    (ended, of_run(A, attempts=2), Rule.OVER_LIMIT),
    (ended, of_run(A, attempts=-1), Rule.OVER_LIMIT),
    (ended, of_run(EACH, 0, crashes=4), Rule.OVER_LIMIT),
    (ended, of_history(attempts={}), Rule.OVER_LIMIT),
    (under_way, of_head(active=1), Rule.COUNTERS),
    (under_way, of_head(steps_left=1), Rule.COUNTERS),
    (ended, of_head(runs_done=4), Rule.COUNTERS),
    (under_way, of_run(EACH, items_left=1), Rule.COUNTERS),
    (under_way, of_run(B, needs_left=2), Rule.COUNTERS),
    (under_way, of_run(EACH, status="completed"), Rule.COUNTERS),
    (under_way, of_history(definition=None, unreadable="gone"), Rule.UNREADABLE),
    (pending, of_head(due_at=None), Rule.DISPATCH_OWED),
    (under_way, of_run(EACH, 1, due_at=None), Rule.MESSAGE_OWED),
    (under_way, of_run(EACH, 0, worker_id="gone"), Rule.LOST_CLAIM),
    (under_way, of_run(EACH, 0, due_at=NOW - SECOND), Rule.OVERDUE_CLAIM),
    (lambda: parked(due_at=NOW), of_run(A, due_at=NOW - 3 * SECOND), Rule.OVERDUE_WAIT),
    (lambda: parked(due_at=NOW), of_run(A, due_at=None), Rule.OVERDUE_WAIT),
    (
        lambda: parked("retrying", due_at=NOW),
        of_run(A, due_at=None, wait_for="approval"),
        Rule.OVERDUE_WAIT,
    ),
    (ended, of_head(status="running", finished_at=None), Rule.UNFINISHED),
    (under_way, of_head(ending="cancelled", due_at=NOW - SECOND), Rule.UNENDED),
    (under_way, of_head(ending="failed", due_at=None), Rule.UNENDED),
    (under_way, of_head(deadline_at=NOW - SECOND), Rule.MISSED_DEADLINE),
    (lambda: parked(due_at=NOW), of_run(A, status="pending"), Rule.STUCK),
    (
        under_way,
        of_history(notices=[NoticeRecord("n", "answer", A, -1, NOW - 20 * SECOND)]),
        Rule.NOTICE_LEFT,
    ),
    (
        lambda: parked(wait_for="workflow"),
        of_history(children=[ChildRecord("c", A, -1, 2, "failed")]),
        Rule.UNANSWERED,
    ),
    (under_way, of_history(parent_status="failed"), Rule.ORPHANED_CHILD),
    (under_way, of_history(parent_status="gone"), Rule.ORPHANED_CHILD),
]


@pytest.mark.parametrize(("sound", "mutate", "rule"), TABLE)
def test_what_is_broken_is_found(
    sound: Callable[[], History], mutate: Mutation, rule: Rule
) -> None:
    broken = sound()
    mutate(broken)
    assert rule in found_in(broken)


def test_the_table_breaks_every_rule_that_one_history_can_show() -> None:
    others = {
        Rule.SLOT_TWICE,
        Rule.ORPHAN_NOTICE,
        Rule.LEFT_ALONE,
        Rule.NOBODY_SWEEPS,
        Rule.NO_WORKER,
    }
    assert {rule for _, _, rule in TABLE} == set(Rule) - others
    assert set(RULES) == set(Rule)


@pytest.mark.parametrize(
    ("sound", "changed", "rule"),
    [
        (under_way, of_run(EACH, 1, due_at=NOW - 10 * SECOND), Rule.MESSAGE_OWED),
        (pending, of_head(due_at=NOW - 10 * SECOND), Rule.DISPATCH_OWED),
    ],
)
def test_a_message_is_missed_only_once_a_later_one_came_through(
    sound: Callable[[], History], changed: Mutation, rule: Rule
) -> None:
    waiting = sound()
    changed(waiting)
    assert found_in(waiting) == set()
    assert rule in found_in(waiting, LATE)


@pytest.mark.parametrize(
    ("changed", "world"),
    [
        (of_run(EACH, 1, due_at=None, reason="worker_crashed"), LATE),
        (of_run(EACH, 1, due_at=NOW - 5 * SECOND, queued_at=NOW - 60 * SECOND), LATE),
        (of_history(notices=[NoticeRecord("n", "answer", A, -1, NOW - SECOND)]), WORLD),
        (of_head(deadline_at=NOW + SECOND), WORLD),
    ],
)
def test_what_is_looked_after_is_no_fault(changed: Mutation, world: World) -> None:
    busy = under_way()
    changed(busy)
    assert found_in(busy, world) == set()


def test_news_may_wait_as_long_as_dispatches_do() -> None:
    busy = under_way()
    busy.notices = [NoticeRecord("n", "cancel", None, None, NOW - 60 * SECOND)]
    assert found_in(busy, replace(WORLD, backlog=True)) == set()
    assert found_in(busy, replace(WORLD, watermarks={"dispatch": NOW}, backlog=True)) == {
        Rule.NOTICE_LEFT
    }


def test_a_child_that_was_told_to_end_or_may_go_on_is_no_orphan() -> None:
    for changed in (
        of_history(notices=[NoticeRecord("n", "cancel", None, None, NOW)]),
        of_head(leaves_parent=True),
        of_head(ending="cancelled", due_at=NOW + SECOND),
        of_head(phase="closing"),
    ):
        child = under_way()
        child.parent_status = "completed"
        changed(child)
        assert Rule.ORPHANED_CHILD not in found_in(child)


def test_a_finding_moves_on_with_what_it_is_about() -> None:
    one = under_way()
    of_run(EACH, 0, worker_id="gone")(one)
    [before] = judge_owed(one, WORLD)
    of_run(EACH, 0, epoch=2)(one)
    [after] = judge_owed(one, WORLD)
    assert before.place != after.place


def test_a_long_log_may_lack_lines_of_its_middle_but_not_its_last() -> None:
    history = ended()
    history.lines, history.last_line = 2_001, 6_000
    of_head(last_log=6_000)(history)
    assert not list(judge(history, max_crashes=3))
    of_head(last_log=6_001)(history)
    assert [found.rule for found in judge(history, max_crashes=3)] == [Rule.LINES_MISSING]
    assert SURELY_WHOLE == MAX_LINES
