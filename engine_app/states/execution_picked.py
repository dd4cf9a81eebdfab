"""The values of the step, or the item of a fan-out, that a tab has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.store import reads
from engine.store.reads import ExecutionDetail, ItemRow, Large, StepDetail, StepRow
from engine.store.reads.detail import ATTEMPTS_SHOWN
from engine.store.reads.summaries import error_line
from engine_app.forms import masked
from engine_app.states.execution_windows import ITEMS, Choice, Items, items
from engine_app.states.view_models import Try, begun, pretty, progress, tries

_FAILED_ITEMS = 20  # with their errors, beside the others


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
    window: Items = field(default_factory=Items)
    started: int = 0
    finished: int = 0
    progress: str = ""
    input: str = ""
    output: str = ""
    input_file: str = ""  # the download of a value that is too large to be shown
    output_file: str = ""
    tries: list[Try] = field(default_factory=list)
    tries_more: str = ""


def pick(
    connection: Any, owner_id: str, choice: Choice, detail: ExecutionDetail, known: Picked
) -> Picked:
    """Return the values of what is chosen, as they are known when nothing about it has changed.

    Raises:
        NotFound: there is no such execution any more.
    """
    step = chosen(choice.step, detail)
    if step is None:
        return Picked()
    stamp, number, execution_id = _stamped(connection, owner_id, choice, detail, step)
    if stamp == known.stamp:
        return known
    values = reads.step(connection, owner_id, execution_id, step.index, number)
    picked = _picked(stamp, step, values, execution_id)
    if not step.items or number is not None:
        return picked
    return replace(picked, **_with_items(connection, owner_id, execution_id, step, choice))


def _stamped(
    connection: Any, owner_id: str, choice: Choice, detail: ExecutionDetail, step: StepRow
) -> tuple[str, int | None, str]:
    """Return what tells whether anything has changed, and the chosen item, if there is one."""
    number = choice.item if step.items is not None and 0 <= choice.item < step.items else None
    item = None if number is None else _item(connection, owner_id, detail.row.id, step, number)
    # The items of an open fan-out change without a trace on its own row: each event may be one.
    seen = detail.row.last_seq if step.items_left and number is None else 0
    where = f"{step.name} {number} {choice.items_only} {choice.items_from}"
    return f"{where} {_stamp(step)} {step.items_left} {seen} {_stamp(item)}", number, detail.row.id


def _stamp(row: StepRow | ItemRow | None) -> str:
    """Return what tells whether a row's values are still the same."""
    if row is None:
        return ""
    return f"{row.status} {row.attempts} {row.crashes} {row.worker_id} {progress(row.progress)}"


def _item(
    connection: Any, owner_id: str, execution_id: str, step: StepRow, number: int
) -> ItemRow | None:
    before = None if number == 0 else str(number - 1)
    page = reads.items(connection, owner_id, execution_id, step.index, cursor=before, limit=1)
    return next((row for row in page.rows if row.item == number), None)


def chosen(name: str, detail: ExecutionDetail) -> StepRow | None:
    """Return the step asked for, else the one that failed, runs, or came last."""
    by_name = {step.name: step for step in detail.steps}
    if name in by_name:
        return by_name[name]
    failed = str((detail.error or {}).get("step", ""))
    if failed in by_name:
        return by_name[failed]
    tolerated = [step for step in detail.steps if step.status == "failed"]
    moving = [step for step in detail.steps if step.status in ("running", "retrying", "waiting")]
    return next(iter(tolerated or moving or reversed(detail.steps)), None)


def _with_items(
    connection: Any, owner_id: str, execution_id: str, step: StepRow, choice: Choice
) -> dict[str, Any]:
    """Return a fan-out's items on screen, and those that failed with their errors."""
    before = None if choice.items_from <= 0 else str(choice.items_from - 1)
    page = reads.items(
        connection,
        owner_id,
        execution_id,
        step.index,
        status=choice.items_only or None,
        cursor=before,
        limit=ITEMS,
    )
    shown = [row.item for row in page.rows]
    failed = _failed(connection, owner_id, execution_id, step)
    more = step.items_failed - len(failed)
    return {
        "members": [Item(row.item, row.status, _line(row)) for row in page.rows],
        "window": items(step.items or 0, choice, shown, more=page.next_cursor is not None),
        "failed": [Item(row.item, row.status, _line(row)) for row in failed],
        "failed_more": f"and {more:,} more that failed" if more > 0 else "",
    }


def _failed(connection: Any, owner_id: str, execution_id: str, step: StepRow) -> list[ItemRow]:
    if not step.items_failed:
        return []
    page = reads.items(
        connection, owner_id, execution_id, step.index, status="failed", limit=_FAILED_ITEMS
    )
    return list(page.rows)


def _line(row: ItemRow) -> str:
    return error_line(row.error) if row.error else ""


def _picked(stamp: str, step: StepRow, values: StepDetail, execution_id: str) -> Picked:
    row = values.row
    query = "" if values.item is None else f"?item={values.item}"
    address = f"/api/executions/{execution_id}/steps/{step.name}/values/{{}}{query}"
    limit = max(step.max_attempts, row.attempts)
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
        window=Items(total=step.items or 0),
        started=row.started_at or 0,
        finished=row.finished_at or 0,
        progress=progress(row.progress),
        input=_input(values),
        output=(
            told(answered(step.uses, values), values.large.get("output"))
            if row.status == "completed"
            else ""
        ),
        input_file=file_of(values.large, address, "input", "value"),
        output_file=file_of(values.large, address, "output") if row.status == "completed" else "",
        tries=tries(values.attempts),
        tries_more=f"the newest {ATTEMPTS_SHOWN}" if len(values.attempts) == ATTEMPTS_SHOWN else "",
    )


def answered(uses: str, values: StepDetail) -> Any:
    """Return the output; of what someone answered by a form without the secrets of that form."""
    output, asked = values.output, values.input
    name = {"approval": "form", "signal": "schema"}.get(uses)
    schema = asked.get(name) if name and isinstance(asked, dict) else None
    if not isinstance(schema, dict):
        return output
    if uses == "signal":
        return masked(schema, output, schema)
    if not isinstance(output, dict):
        return output
    return {**output, "values": masked(schema, output.get("values"), schema)}


def _input(values: StepDetail) -> str:
    """Return what the step was given; before it starts, an item's own value is known already."""
    large = values.large.get("input")
    if values.input is None and large is None:
        given, large = values.value, values.large.get("value")
    else:
        given = values.input
    return "" if given is None and large is None else told(given, large)


def told(value: Any, large: Large | None) -> str:
    """Return a value as text, or how it begins when it is too large for a page."""
    return pretty(value) if large is None else begun(large)


def file_of(large: Mapping[str, Large], address: str, *names: str) -> str:
    """Return the download of the first of these values that is too large, or nothing."""
    return next((address.format(name) for name in names if name in large), "")
