"""``engine signal, approvals, approve, reject``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer

from engine.codec import MAX_INTEGER
from engine.commands.signals import Decision
from engine.errors import InvalidQuery
from engine.store import reads
from engine.store.reads import ApprovalRow
from engine_app.cli.executions import Execution
from engine_app.cli.inputs import parse_input, parse_value
from engine_app.cli.local import As, Json, acting, database, engine
from engine_app.cli.output import clean, console, moment, print_json, print_more, print_table

Step = Annotated[str, typer.Argument(help="The step that waits.")]
Item = Annotated[int | None, typer.Option(min=0, max=MAX_INTEGER, help="Of a fan-out.")]
Comment = Annotated[str, typer.Option(help="What to say with it.")]


def signal(
    name: Annotated[str, typer.Argument(help="Of the signal.")],
    *,
    execution: Annotated[
        str | None, typer.Option(metavar="ID", help="Only to this one [default: any that waits].")
    ] = None,
    correlation: Annotated[str, typer.Option(help="Tells signals of one name apart.")] = "",
    body: Annotated[
        str | None, typer.Option(help="JSON, or @FILE; becomes the output of the step.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same again sends nothing.")
    ] = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Send a signal to the step that waits for it, or will."""
    with engine() as client:
        user = acting(client.database, as_user)
        received = client.signal(
            owner_id=user.id,
            name=name,
            body=None if body is None else parse_value(body, "--body"),
            correlation=correlation,
            execution_id=execution,
            sent_by=user.name,
            idempotency_key=key,
        )
    if as_json:
        print_json(received)
    elif received.execution_id is None:
        console.print("kept: no step waits for it yet")
    else:
        console.print(f"taken by {clean(received.execution_id)}")


def approvals(
    execution: Annotated[
        str | None, typer.Argument(help="Show one of these, with its form.")
    ] = None,
    step: Annotated[str | None, typer.Argument(help="The step that waits.")] = None,
    *,
    item: Item = None,
    limit: Annotated[int, typer.Option(min=1, max=reads.MAX_LIMIT)] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """List what waits for your decision, or show one approval with its form."""
    with database() as opened:
        user = acting(opened, as_user)
        if execution is not None:
            if step is None:
                raise InvalidQuery("name the step too", hint="engine approvals ID STEP")
            _show(
                reads.approval(
                    opened, user.id, user.name, execution_id=execution, step=step, item=item
                ),
                as_json=as_json,
            )
            return
        page = opened.read(
            lambda connection: reads.approvals(
                connection, user.id, user.name, cursor=cursor, limit=limit
            )
        )
    if as_json:
        print_json({"items": page.rows, "next_cursor": page.next_cursor})
        return
    rows = (
        (
            clean(row.execution_id),
            clean(row.step) + ("" if row.item is None else f"\\[{row.item}]"),
            clean(row.workflow),
            clean(row.owner),
            moment(row.since_at),
            moment(row.until_at),
            clean(row.title),
        )
        for row in page.rows
    )
    columns = ("execution", "step", "workflow", "owner", "since", "until", "")
    print_table(columns, rows, empty="nothing waits for your decision")
    print_more(page, "approvals")


def _show(row: ApprovalRow, *, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    until = "" if row.until_at is None else f", until {moment(row.until_at)}"
    who = ", ".join(row.approvers) or "its owner"
    console.print(f"[bold]{clean(row.title)}[/]")
    console.print(f"{clean(row.workflow)} of {clean(row.owner)}, decided by {clean(who)}{until}")
    if row.description:
        console.print(clean(row.description))
    if row.form:
        console.print("its form, as JSON Schema:")
        console.print(clean(json.dumps(row.form, indent=2, ensure_ascii=False)))


def approve(
    execution: Execution,
    step: Step,
    *,
    values: Annotated[
        list[str] | None,
        typer.Option("--value", help="Of the form: KEY=VALUE, KEY=@FILE, @FILE or a JSON object."),
    ] = None,
    comment: Comment = "",
    item: Item = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Approve what a step asks for."""
    filled = parse_input(values or [])
    _decide(
        execution,
        step,
        Decision(approved=True, by="", comment=comment, values=filled, item=item),
        as_user=as_user,
        as_json=as_json,
    )


def reject(
    execution: Execution,
    step: Step,
    *,
    comment: Comment = "",
    item: Item = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Reject what a step asks for: the step fails."""
    _decide(
        execution,
        step,
        Decision(approved=False, by="", comment=comment, item=item),
        as_user=as_user,
        as_json=as_json,
    )


def _decide(
    execution: str, step: str, decision: Decision, *, as_user: str | None, as_json: bool
) -> None:
    with engine() as client:
        user = acting(client.database, as_user)
        client.decide(
            user_id=user.id,
            execution_id=execution,
            step=step,
            decision=replace(decision, by=user.name),
        )
    if as_json:
        print_json({"execution_id": execution, "approved": decision.approved})
    else:
        console.print(f"{clean(step)} is {'approved' if decision.approved else 'rejected'}")
