"""What pages draw of waits, of ends that come in stages, and of executions that belong together.

Pure, as ``shapes``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.commands.rerun import Preview
from engine.core.status import ExecutionStatus, Phase
from engine.definition import Definition
from engine.store.reads import ExecutionDetail, LinkRow, StepRow
from engine.store.reads.pending_actions import DecisionRow, Standing
from engine.store.reads.related import LINKS_SHOWN
from engine_app.states.view_models import Bar

AGAIN_SHOWN = 10  # reruns of one execution, the newest
_NAMES_SHOWN = 40  # of a preview; of more only the number is read


@dataclass(frozen=True)
class Decided:
    """How an approval ended, for the line that takes its card's place."""

    step: str = ""
    status: str = ""
    word: str = ""
    by: str = ""
    at: int = 0
    comment: str = ""


def decided(rows: Iterable[DecisionRow]) -> list[Decided]:
    """Return the approvals that are over, but for those that ended with their execution."""
    words = {"completed": "approved", "rejected": "rejected", "expired": "not decided in time"}
    found = []
    for row in rows:
        word = words.get(row.status) or words.get(row.reason or "")
        if word is None:
            continue
        name = row.step if row.item is None else f"{row.step} [{row.item}]"
        found.append(Decided(name, row.status, word, row.by, row.at, row.comment))
    return found


@dataclass(frozen=True)
class Stage:
    """What may be done with an execution now, and how far it has come to its end.

    ``name`` is paused, asked, interrupting, closing, abandoned or empty.
    """

    name: str = ""
    until: int = 0
    ending: str = ""
    can_cancel: bool = False
    can_pause: bool = False
    can_resume: bool = False
    cancel: str = ""  # what cancelling does, in stages
    rerun_from: str = ""
    deadline: int = 0  # when it fails if it has not ended by then


@dataclass(frozen=True)
class Graces:
    """Seconds that running steps get at an end: to stop by themselves, then once interrupted."""

    asked: float
    interrupted: float


def stage(standing: Standing, definition: Definition, graces: Graces) -> Stage:
    """Return where the execution stands."""
    if ExecutionStatus(standing.status).ended:
        return Stage(rerun_from=standing.rerun_from or "")
    closing = standing.phase == Phase.CLOSING
    stopping = standing.ending is not None and not closing
    paused = standing.status == ExecutionStatus.PAUSED
    return Stage(
        name=_stage_name(standing, stopping=stopping, closing=closing, paused=paused),
        until=(standing.due_at or 0) if stopping else 0,
        ending=standing.ending or "",
        can_cancel=not stopping,
        can_pause=not stopping and not paused,
        can_resume=paused,
        rerun_from=standing.rerun_from or "",
        deadline=standing.deadline_at or 0,
        cancel=_cancel_closing() if closing else _cancel_words(definition, graces),
    )


def _stage_name(standing: Standing, *, stopping: bool, closing: bool, paused: bool) -> str:
    if paused:
        return "paused"
    if stopping:
        if standing.interrupting:
            return "interrupting"
        return "abandoned" if standing.phase == Phase.ABANDONED else "asked"
    return "closing" if closing else ""


def _cancel_words(definition: Definition, graces: Graces) -> str:
    words = (
        "No further step starts. Running steps are asked to stop and get "
        f"{graces.asked:g} s; what still runs then is interrupted, and {graces.interrupted:g} s "
        "later its result no longer counts. "
    )
    if definition.closing:
        words += "After that its closing steps run: compensations of what completed, last first, "
        words += "then the steps at the end. "
    return words + "This cannot be undone, but the execution can be run again afterwards."


def _cancel_closing() -> str:
    return (
        "Its closing steps run now. Cancelling once more abandons them: those that run are asked "
        "to stop, those that have not begun never run. What they would have undone stays."
    )


@dataclass(frozen=True)
class Kin:
    """An execution that belongs to the one on the page."""

    id: str = ""
    workflow: str = ""
    status: str = ""
    step: str = ""


@dataclass(frozen=True)
class Family:
    """Where an execution comes from, what it started, and what went on from it."""

    parent: Kin = Kin()
    children: list[Kin] = field(default_factory=list)
    summary: str = ""
    again: list[Kin] = field(default_factory=list)
    again_more: str = ""


def family(detail: ExecutionDetail) -> Family:
    """Return an execution's relatives as the page lists them."""
    more = detail.children_total - len(detail.children)
    tally = Counter(child.status for child in detail.children)
    counted = " · ".join(f"{number:,} {status}" for status, number in sorted(tally.items()))
    earlier = len(detail.again) - AGAIN_SHOWN
    # No more than so many are read: there may be others.
    capped = "" if len(detail.again) < LINKS_SHOWN else "+"
    newest = f"the newest {len(detail.children)} of {detail.children_total:,}: " if more else ""
    return Family(
        parent=Kin() if detail.parent is None else _kin(detail.parent),
        children=[_kin(row) for row in detail.children],
        summary=newest + counted,
        again=[_kin(row) for row in detail.again[:AGAIN_SHOWN]],
        again_more=f"and {earlier:,}{capped} times before" if earlier > 0 else "",
    )


def _kin(row: LinkRow) -> Kin:
    step = row.step or ""
    return Kin(
        row.id, row.workflow, row.status, step if row.item is None else f"{step} [{row.item}]"
    )


def waiting_notes(steps: Iterable[StepRow]) -> dict[str, str]:
    """Return, per step that waits for a word from outside, what it waits for."""
    words = {"approval": "for a decision", "workflow": "for its child"}
    return {
        step.name: words.get(step.waits_for.kind, f"for signal {step.waits_for.signal}")
        for step in steps
        if step.waits_for is not None and step.waits_for.kind != "time"
    }


def arranged(bars: Sequence[Bar], definition: Definition, notes: Mapping[str, str]) -> list[Bar]:
    """Return the timeline's rows with what they wait for; closing steps come last, labelled.

    Compensations stand in the order in which they run: the last step is undone first.
    """
    plain: list[Bar] = []
    undoing: list[tuple[int, Bar]] = []
    finals: list[Bar] = []
    for step, bar in zip(definition.steps, bars, strict=True):
        if not step.closing:
            note = notes.get(step.name) if bar.status == "waiting" else None
            plain.append(replace(bar, note=note) if note else bar)
        elif step.compensates is None:
            finals.append(bar)
        else:
            undone = definition.steps[step.compensates].name
            undoing.append((-step.compensates, replace(bar, label=f"undoes {undone}")))
    ordered = [bar for _, bar in sorted(undoing, key=lambda pair: pair[0])]
    return [
        *plain,
        *_headed(ordered, "Compensations: only if it fails or is cancelled, last first"),
        *_headed(finals, "At the end, however it went"),
    ]


def _headed(bars: Sequence[Bar], heading: str) -> list[Bar]:
    return [replace(bar, group=heading) if not at else bar for at, bar in enumerate(bars)]


@dataclass(frozen=True)
class Fate:
    """One of the three lists of a preview."""

    count: int = 0
    names: str = ""


@dataclass(frozen=True)
class Outlook:
    """What running again would do; ``version`` 0: not known yet."""

    version: int = 0
    reused: Fate = Fate()
    repeated: Fate = Fate()
    fresh: Fate = Fate()


def outlook(preview: Preview) -> Outlook:
    """Return a preview as the dialog shows it."""
    return Outlook(
        preview.version, _fate(preview.reused), _fate(preview.repeated), _fate(preview.fresh)
    )


def _fate(names: Sequence[str]) -> Fate:
    more = len(names) - _NAMES_SHOWN
    text = ", ".join(names[:_NAMES_SHOWN])
    return Fate(len(names), f"{text} and {more:,} more" if more > 0 else text)
