"""An execution as a tree: its steps, what they wait for, and the executions around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from rich.tree import Tree

from engine.core.status import ExecutionStatus, Phase, StepStatus
from engine.store.reads import ExecutionDetail, LinkRow, StepRow, WaitRow
from engine_app.cli.output import clean, length, moment, status

_STEPS_SHOWN = 40  # a terminal is not higher; the rest is told as a number
_LINKS_SHOWN = 10
_LIVE = (StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.WAITING)


def tree(found: ExecutionDetail, now: int) -> Tree:
    """Return the execution and its steps as a tree."""
    row = found.row
    took = length(row.started_at, row.finished_at or now)
    shown = Tree(
        f"[bold]{clean(row.workflow)}[/] v{row.version} {clean(row.id)}  {status(row.status)}  "
        f"{took}  [bright_black]{clean(row.detail)}[/]"
    )
    for line in _around(found):
        shown.add(f"[bright_black]{line}[/]")
    steps = telling(found.steps)
    for step in steps:
        shown.add(_step(step, now))
    if len(found.steps) > len(steps):
        shown.add(f"[bright_black]and {len(found.steps) - len(steps)} more steps[/]")
    for line in hints(found):
        shown.add(f"[bright_black]{line}[/]")
    return shown


def _around(found: ExecutionDetail) -> Iterator[str]:
    row = found.row
    if found.parent is not None:
        yield f"child of {_link(found.parent)}"
    if row.origin_id is not None:
        whence = clean(row.origin_id) if found.origin is None else _link(found.origin)
        yield f"made from {whence}"
    if row.schedule_id is not None:
        yield f"started by schedule {clean(row.trigger_detail)} ({clean(row.schedule_id)})"
    yield from _links("run again as", found.again, len(found.again))
    yield from _links("child", found.children, found.children_total)
    if row.deadline_at is not None and row.finished_at is None:
        yield f"fails unless it has ended by {moment(row.deadline_at)}"
    if row.phase == Phase.CLOSING and row.finished_at is None:
        yield f"is closing, to end as {row.ending or ExecutionStatus.COMPLETED}"


def _links(word: str, links: Sequence[LinkRow], total: int) -> Iterator[str]:
    for link in links[:_LINKS_SHOWN]:
        yield f"{word} {_link(link)}"
    if total > _LINKS_SHOWN:
        yield f"{word}: {total - _LINKS_SHOWN} more"


def _link(link: LinkRow) -> str:
    step = "" if link.step is None else f" at {clean(link.step)}"
    item = "" if link.item is None else f"\\[{link.item}]"
    return f"{clean(link.id)} {clean(link.workflow)} v{link.version}{step}{item}: {link.status}"


def _step(step: StepRow, now: int) -> str:
    parts = [f"{status(step.status)}  [bold]{clean(step.name)}[/]"]
    if step.items is not None:
        parts.append(f"{step.items - (step.items_left or 0)} of {step.items} items")
        if step.items_failed:
            parts.append(f"[red]{step.items_failed} failed[/]")
    if step.attempts > 1 or step.status == "retrying":
        parts.append(f"attempt {step.attempts} of {max(step.attempts, step.max_attempts)}")
    if step.crashes:
        parts.append(f"its worker was lost {step.crashes} ×")
    if step.started_at is not None:
        parts.append(length(step.started_at, step.finished_at or now))
    if step.progress and step.status == "running":
        parts.append(_progress(step))
    if step.waits_for is not None:
        parts.append(f"[yellow]{_waits(step.waits_for)}[/]")
    if step.error and step.status in ("failed", "retrying"):
        parts.append(f"[red]{clean(step.error.get('message', ''))[:120]}[/]")
    elif step.reason:
        parts.append(f"[bright_black]{clean(step.reason)}[/]")
    return "  ".join(parts)


def _progress(step: StepRow) -> str:
    said = step.progress or {}
    total = "" if said.get("total") is None else f" of {said['total']}"
    note = f" {said['note']}" if said.get("note") else ""
    return clean(f"{said.get('done', 0)}{total}{note}")


def _waits(wait: WaitRow) -> str:
    match wait.kind:
        case "signal":
            words = f"for signal {wait.signal}"
            words += f" of {wait.correlation}" if wait.correlation else ""
        case "approval":
            who = ", ".join(wait.approvers or ()) or "the owner"
            words = f"for {who} to decide: {wait.title}"
        case "workflow":
            words = f"for {wait.child_id} of {wait.workflow}"
        case _:
            words = ""
    until = "" if wait.until_at is None else f" until {moment(wait.until_at)}"
    return clean(f"waits {words}".rstrip() + until)


def telling(steps: Sequence[StepRow]) -> list[StepRow]:
    """Return the steps that are shown, in their order: of many those first that tell most."""
    told = sorted(steps, key=lambda step: (_tells_nothing(step), step.index))[:_STEPS_SHOWN]
    return sorted(told, key=lambda step: step.index)


def _tells_nothing(step: StepRow) -> int:
    if step.status == StepStatus.FAILED:
        return 0
    return 1 if step.status in _LIVE else 2


def hints(found: ExecutionDetail) -> list[str]:
    """Return the commands that would let it go on, if somebody must do something for it."""
    if found.row.status == ExecutionStatus.PAUSED:
        return [f"go on with: engine resume {clean(found.row.id)}"]
    lines = []
    for step in telling(found.steps):
        wait = step.waits_for
        if wait is None:
            continue
        if wait.kind == "approval":
            lines.append(f"decide with: engine approve {clean(found.row.id)} {clean(step.name)}")
        elif wait.kind == "signal":
            more = f" --correlation {quote(wait.correlation)}" if wait.correlation else ""
            lines.append(f"send it with: engine signal {clean(wait.signal)}{clean(more)}")
    return lines
