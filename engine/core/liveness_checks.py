"""Judge what is still to be done: whether somebody carries it out. Pure.

On a live engine all this comes and goes. Each finding has a mark that changes as soon as anybody
does something about it: only what stands still between two looks, longer apart than rescue needs,
is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.core.finding import Finding, Rule
from engine.core.history import History, RunRecord, World
from engine.core.pending_input import Kind
from engine.core.status import EXECUTION_ENDS, STEP_ENDS, Phase, Reason

ON_ITS_WAY = 2_000_000  # µs that a message may take, whatever came through before it
_BY_OTHER_RULES = (Reason.UNKNOWN_STEP, Reason.WORKER_CRASHED)


def judge_owed(history: History, world: World) -> Iterator[Finding]:
    """Yield what is due of the execution and nobody seems to carry out.

    Args:
        history: of one execution, with what its version says.
        world: the engine at that instant.
    """
    yield from _notices(history, world)
    if history.head.status in EXECUTION_ENDS:
        return
    yield from _dispatch(history, world)
    yield from _end(history, world)
    yield from _family(history)
    yield from _claims(history, world)
    if _moving(history):
        yield from _parked(history, world)
        yield from _queued(history, world)
        yield from _stuck(history)


def _moving(history: History) -> bool:
    head = history.head
    return head.status in ("running", "waiting") and not _stopping(history)


def _stopping(history: History) -> bool:
    return history.head.ending is not None and history.head.phase != Phase.CLOSING


def _of(history: History, rule: Rule, what: str, *mark: object) -> Finding:
    return Finding(rule, what, history.head.id, mark=" ".join(map(str, mark)))


def _at(history: History, rule: Rule, run: RunRecord, what: str) -> Finding:
    mark = f"{run.status} {run.epoch} {run.due_at}"
    return Finding(rule, what, history.head.id, run.step, run.item, mark)


def _ago(then: int, world: World) -> str:
    return f"{(world.now - then) / 1e6:.0f} s"


def _notices(history: History, world: World) -> Iterator[Finding]:
    for notice in history.notices:
        # A dispatch carries it out: where these wait long, it may too.
        behind = notice.created_at + world.patience < world.watermarks.get("dispatch", 0)
        if notice.created_at < world.now - world.patience and (behind or not world.backlog):
            what = f"its {notice.kind} has been owed for {_ago(notice.created_at, world)}"
            yield _of(history, Rule.NOTICE_LEFT, what, notice.id)


def _dispatch(history: History, world: World) -> Iterator[Finding]:
    head = history.head
    if head.status != "pending" or head.ending is not None:
        return
    if head.due_at is None:
        # One that could not be dispatched waits for people, and says so.
        if head.reason != Reason.DISPATCH_FAILED:
            yield _of(history, Rule.DISPATCH_OWED, "it is pending and owed no dispatch", "never")
    elif head.due_at + ON_ITS_WAY < world.watermarks.get("dispatch", 0):
        what = f"its dispatch has been owed for {_ago(head.due_at, world)}, later ones came through"
        yield _of(history, Rule.DISPATCH_OWED, what, head.due_at)


def _end(history: History, world: World) -> Iterator[Finding]:
    head = history.head
    overdue = head.due_at is None or head.due_at < world.now
    late = head.deadline_at is not None and head.deadline_at < world.now
    if _stopping(history):
        if overdue:
            what = f"it has not ended, as {head.ending}, by its time"
            yield _of(history, Rule.UNENDED, what, head.due_at, head.last_seq)
        return
    if late and head.phase == Phase.STEPS:
        assert head.deadline_at is not None
        what = f"its deadline passed {_ago(head.deadline_at, world)} ago"
        yield _of(history, Rule.MISSED_DEADLINE, what, head.deadline_at)
    left = [run for run in history.runs.values() if run.status not in STEP_ENDS]
    if history.runs and not left and overdue and head.status in ("running", "waiting"):
        what = f"all its steps ended, and it is {head.status}"
        yield _of(history, Rule.UNFINISHED, what, head.due_at, head.last_seq)


def _family(history: History) -> Iterator[Finding]:
    head = history.head
    told = head.ending is not None or any(notice.kind == "cancel" for notice in history.notices)
    parent_over = history.parent_status is not None and history.parent_status in (
        *EXECUTION_ENDS,
        "gone",
    )
    # One that runs its steps at the end has its turn.
    at_work = head.phase == Phase.STEPS
    if parent_over and at_work and not head.leaves_parent and not told:
        what = f"its parent {head.parent_id} is {history.parent_status}"
        yield _of(history, Rule.ORPHANED_CHILD, what, head.last_seq)
    answered = {(notice.step, notice.item) for notice in history.notices}
    for child in history.children:
        run = history.runs.get((child.step, child.item))
        if run is None or run.status != "waiting" or run.wait_for != Kind.CHILD:
            continue
        if run.epoch == child.epoch and run.key not in answered:
            what = f"its child {child.id} is {child.status}"
            yield _at(history, Rule.UNANSWERED, run, what)


def _claims(history: History, world: World) -> Iterator[Finding]:
    for run in history.runs.values():
        if run.status != "running" or run.items is not None:
            continue
        if run.worker_id not in world.alive:
            what = f"it is claimed by worker {run.worker_id}, which is gone"
            yield _at(history, Rule.LOST_CLAIM, run, what)
        elif run.due_at is not None and run.due_at < world.now:
            what = f"its claim ran out {_ago(run.due_at, world)} ago"
            yield _at(history, Rule.OVERDUE_CLAIM, run, what)


def _parked(history: History, world: World) -> Iterator[Finding]:
    for run in history.runs.values():
        if run.status not in ("retrying", "waiting"):
            continue
        if run.due_at is None:
            # One that waits for an answer may wait for ever.
            if run.status == "retrying" or run.wait_for is None:
                yield _at(history, Rule.OVERDUE_WAIT, run, f"it is {run.status} without an end")
        elif run.due_at < world.now - ON_ITS_WAY:
            what = f"it is {run.status} and was due {_ago(run.due_at, world)} ago"
            yield _at(history, Rule.OVERDUE_WAIT, run, what)


def _queued(history: History, world: World) -> Iterator[Finding]:
    for run in history.runs.values():
        if run.status != "queued" or run.reason in _BY_OTHER_RULES:
            continue
        if run.due_at is None:
            yield _at(history, Rule.MESSAGE_OWED, run, "it is queued and owed no message")
            continue
        passed = run.due_at + ON_ITS_WAY < world.watermarks.get(run.queue, 0)
        # Sent again it is followed by the next copy after twice the wait, as rescue does.
        patient = world.now - run.due_at >= run.due_at - (run.queued_at or run.due_at)
        if passed and patient:
            what = f"its message was sent {_ago(run.due_at, world)} ago, later ones came through"
            yield _at(history, Rule.MESSAGE_OWED, run, what)


def _stuck(history: History) -> Iterator[Finding]:
    """Nothing of it is queued, claimed or parked, and steps are left."""
    left = [run for run in history.runs.values() if run.status not in STEP_ENDS]
    waits = [run for run in left if run.status == "pending" or run.items is not None]
    if left and len(waits) == len(left):
        what = f"{len(left)} step runs are left, and none of them is queued, claimed or parked"
        yield _of(history, Rule.STUCK, what, history.head.last_seq)
