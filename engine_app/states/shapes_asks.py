"""What pages draw of what waits for a person: approvals and signals, with their forms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.store.reads import ApprovalRow
from engine.store.reads.pending_actions import AskRow, DecisionRow
from engine.store.reads.summaries import decision_words
from engine_app import forms
from engine_app.forms import Field

FORM_SHOWN = 4_000_000  # bytes of an approval up to which a page shows its form


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
    gone: bool = False  # was not read any more: how it ended is being found out
    over: str = ""  # how it ended
    over_at: int = 0


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
    fields, number = forms.form(schema), -1 if item is None else item
    return replace(
        ask,
        key=f"{ask.execution}.{ask.step}.{number}",
        item=number,
        fields=fields,
        as_json=not fields and (ask.kind == "signal" or bool(schema)),
        text=forms.json_text(schema, forms.example(schema)),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def typed_for(ask: Ask, form: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Return the value that was typed for an ask, and what cannot be read of it."""
    if ask.as_json:
        return forms.read_json(str(form.get("json", "")))
    return forms.read(ask.fields, form)


def refused(ask: Ask, form: Mapping[str, Any], faults: list[Any], words: str) -> Ask:
    """Return the ask as it was typed, with what is wrong beside its fields."""
    if not faults:
        return replace(ask, wrong=[words])
    if ask.as_json:
        wrong = [str(fault) for fault in faults]
        return replace(ask, text=str(form.get("json", "")), wrong=wrong)
    root = "values" if ask.kind == "approval" else "body"
    fields, wrong = forms.filled(ask.fields, form, faults, root)
    return replace(ask, fields=fields, wrong=wrong)


def merged(shown: Sequence[Ask], read: Sequence[Ask], found: Sequence[Ask]) -> list[Ask]:
    """Return the cards of a page after a new reading: each stays where it is.

    What is new comes at the end, whatever its place in the list. What is not found any more is
    ``gone`` until someone dismisses it. What was typed into a card stays, unless it asks
    for something else now.

    Args:
        shown: the cards on the page, as typed.
        read: the reading that they come from.
        found: the new one.
    """
    before = {ask.key: ask for ask in read}
    now = {ask.key: ask for ask in found}
    kept = [_kept(ask, before.get(ask.key), now.get(ask.key)) for ask in shown]
    known = {ask.key for ask in shown}
    return kept + [ask for ask in found if ask.key not in known and not _same(ask, before)]


def _same(ask: Ask, read: Mapping[str, Ask]) -> bool:
    """Return whether it was read before: a step may ask again later, which is another ask."""
    return ask.key in read and read[ask.key].since == ask.since


def _kept(ask: Ask, before: Ask | None, now: Ask | None) -> Ask:
    if ask.over:
        return ask if now is None or now.since == ask.since else now
    if now is None:
        return replace(ask, gone=True)
    return replace(ask, gone=False) if now == before else now


def answered(ask: Ask, approved: bool, by: str, at: int) -> Ask:
    """Return the card of what someone has just answered."""
    words = f"sent by {by}" if ask.kind == "signal" else ""
    words = words or f"{'approved' if approved else 'rejected'} by {by}"
    return replace(ask, over=words, over_at=at, wrong=[])


def ended(ask: Ask, row: DecisionRow | None, now: int) -> Ask:
    """Return the card of what was found to wait no more; of what does after all, as it was."""
    if row is None:
        return replace(ask, gone=False)
    if ask.kind == "signal":
        words = {"completed": "the signal came"}.get(row.status, f"{row.status} without it")
    else:
        words = decision_words(row.status, row.reason, row.by)
    return replace(ask, over=words, over_at=row.at or now, wrong=[])
