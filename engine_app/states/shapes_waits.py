"""What pages draw of waits, of ends that come in stages, and of executions that belong together.

Pure, as ``shapes``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.again import Preview
from engine.definition import Definition
from engine.machine.status import ExecutionStatus, Phase
from engine.store.views import ApprovalRow, ExecutionDetail, LinkRow, StepRow
from engine.store.views_standing import AskRow, DecisionRow, Standing
from engine_app.states import run_form
from engine_app.states.run_form import Field
from engine_app.states.shapes import Bar

AGAIN_SHOWN = 10  # reruns of one execution, the newest
FORM_SHOWN = 4_000_000  # bytes of an approval up to which a page shows its form
_NAMES_SHOWN = 40  # of a preview; of more only the number is read


@dataclass(frozen=True)
class Ask:
    """A step run that someone can answer from the page: an approval or a signal."""

    key: str = ""
    kind: str = ""  # approval | signal
    execution: str = ""
    workflow: str = ""
    step: str = ""
    item: int = -1
    title: str = ""
    about: str = ""
    name: str = ""  # of a signal
    correlation: str = ""
    since: int = 0
    until: int = 0
    who: str = ""  # may decide
    owner: str = ""  # of the execution, when that is somebody else
    held: str = ""  # why it cannot be answered now
    closed: str = ""  # why its form is not here yet
    fields: list[Field] = field(default_factory=list)
    as_json: bool = False
    text: str = ""
    wrong: list[str] = field(default_factory=list)


def asks(rows: Iterable[AskRow], viewer: str) -> list[Ask]:
    """Return what the owner of an execution, of that name, can answer, approvals first."""
    found = [_ask(row, viewer) for row in rows if row.kind in ("approval", "signal")]
    return sorted(found, key=lambda ask: ask.kind)


def _ask(row: AskRow, viewer: str) -> Ask:
    params = row.params
    schema = params.get("form" if row.kind == "approval" else "schema") or {}
    approvers = [str(name) for name in params.get("approvers") or ()]
    held = row.kind == "approval" and approvers and viewer not in approvers
    ask = Ask(
        kind=row.kind,
        execution=row.execution_id,
        workflow=row.workflow,
        step=row.step,
        title=str(params.get("title") or row.step),
        about=str(params.get("description") or ""),
        name=str(params.get("name") or ""),
        correlation=_text(params.get("correlation")),
        since=row.since,
        until=row.until or 0,
        who=", ".join(approvers) or "its owner",
        held="You are not among those who decide this." if held else "",
    )
    ask = _with_form(ask, schema, row.item)
    return ask if row.kind == "signal" or ask.held else _closed(ask, row.left_out)


def approvals(rows: Iterable[ApprovalRow]) -> list[Ask]:
    """Return the approvals that the viewer may decide, whoever the executions belong to."""
    return [_closed(approval(row), row.left_out) for row in rows]


def approval(row: ApprovalRow) -> Ask:
    """Return an approval that the viewer may decide, with the form as far as the row has it."""
    ask = Ask(
        kind="approval",
        execution=row.execution_id,
        workflow=row.workflow,
        step=row.step,
        title=row.title or row.step,
        about=row.description,
        since=row.since_at,
        until=row.until_at or 0,
        who=", ".join(row.approvers) or "its owner",
        owner="" if row.mine else row.owner,
    )
    return _with_form(ask, row.form, row.item)


def _closed(ask: Ask, size: int | None) -> Ask:
    """Return the ask without a form to fill in, if its own was too large to come along."""
    if size is None:
        return ask
    if size <= FORM_SHOWN:
        return replace(ask, closed=f"What it asks for is large ({size:,} bytes).")
    item = "" if ask.item < 0 else f" --item {ask.item}"
    told = f"engine approvals {ask.execution} {ask.step}{item}"
    return replace(
        ask, held=f"What it asks for is too large for a page ({size:,} bytes). Read it by: {told}"
    )


def _with_form(ask: Ask, schema: Mapping[str, Any], item: int | None) -> Ask:
    fields, number = run_form.fields(schema), -1 if item is None else item
    return replace(
        ask,
        key=f"{ask.execution}.{ask.step}.{number}",
        item=number,
        fields=fields,
        as_json=not fields and (ask.kind == "signal" or bool(schema)),
        text=run_form.example(schema),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def typed_for(ask: Ask, form: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Return the value that was typed for an ask, and what cannot be read of it."""
    if ask.as_json:
        return run_form.read_json(str(form.get("json", "")))
    return run_form.read(ask.fields, form)


def refused(ask: Ask, form: Mapping[str, Any], faults: list[Any], words: str) -> Ask:
    """Return the ask as it was typed, with what is wrong beside its fields."""
    if not faults:
        return replace(ask, wrong=[words])
    if ask.as_json:
        wrong = [str(fault) for fault in faults]
        return replace(ask, text=str(form.get("json", "")), wrong=wrong)
    root = "values" if ask.kind == "approval" else "body"
    fields, wrong = run_form.filled(ask.fields, form, faults, root)
    return replace(ask, fields=fields, wrong=wrong)


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


def family(detail: ExecutionDetail) -> Family:
    """Return an execution's relatives as the page lists them."""
    more = detail.children_total - len(detail.children)
    tally = Counter(child.status for child in detail.children)
    counted = " · ".join(f"{number:,} {status}" for status, number in sorted(tally.items()))
    newest = f"the newest {len(detail.children)} of {detail.children_total:,}: " if more else ""
    return Family(
        parent=Kin() if detail.parent is None else _kin(detail.parent),
        children=[_kin(row) for row in detail.children],
        summary=newest + counted,
        again=[_kin(row) for row in detail.again[:AGAIN_SHOWN]],
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
