"""``engine run, list, show, logs``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from engine.core.status import EXECUTION_ENDS, ExecutionStatus, Trigger
from engine.flow import error_text
from engine.ids import made_at
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import ExecutionDetail, LogView
from engine_app.cli.follow import LOOK_SECONDS, follow
from engine_app.cli.inputs import parse_input
from engine_app.cli.local import As, Json, Version, acting, database, engine
from engine_app.cli.output import (
    clean,
    console,
    errors,
    length,
    moment,
    print_json,
    print_more,
    print_table,
    status,
)
from engine_app.cli.tree import tree

FAILED = 1  # the exit code of a followed execution that did not complete
_LINES = 1000  # log lines read at once
Execution = Annotated[str, typer.Argument(metavar="EXECUTION", help="Its id.")]


def run(
    workflow: Annotated[str, typer.Argument(help="Its name or id.")],
    given: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="KEY=VALUE, KEY=@FILE, @FILE or JSON; repeatable."),
    ] = None,
    *,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Watch it until it has ended.")
    ] = False,
    version: Version = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same again starts nothing new.")
    ] = None,
    delay: Annotated[float, typer.Option(min=0, help="Seconds to wait before it starts.")] = 0,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Start an execution. With --follow the exit code is 1 unless it completed."""
    with engine() as client:
        user = acting(client.database, as_user)
        started = client.start(
            owner_id=user.id,
            workflow_id=workflow,
            input=parse_input(given or []),
            version=version,
            trigger=Trigger.CLI,
            idempotency_key=key,
            delay_seconds=delay,
        )
        if not following:
            started_line(started.execution_id, started.message_id, as_json=as_json)
            return
        follow_to_end(client.database, user.id, started.execution_id, as_json=as_json)


def started_line(execution_id: str, message_id: str, *, as_json: bool) -> None:
    """Print what was started: the id alone, or JSON."""
    if as_json:
        print_json({"execution_id": execution_id, "message_id": message_id})
    else:
        console.print(execution_id)


def follow_to_end(opened: Database, owner_id: str, execution_id: str, *, as_json: bool) -> None:
    """Show the execution until it has ended; Ctrl-C ends the looking alone.

    Raises:
        Exit: with 1, unless it completed.
    """
    try:
        found = follow(opened, owner_id, execution_id, quiet=as_json)
    except KeyboardInterrupt:
        errors.print(f"{clean(execution_id)} goes on: see `engine show {clean(execution_id)}`")
        raise typer.Exit(FAILED) from None
    if as_json:
        print_json(found)
    else:
        _ending(found)
    if found.row.status != ExecutionStatus.COMPLETED:
        raise typer.Exit(FAILED)


def _ending(found: ExecutionDetail) -> None:
    if found.error:
        console.print(f"[red]{clean(found.row.detail)}[/]")
        if told := error_text.whole(found.error):
            console.print(f"[bright_black]{clean(told)}[/]")
    if found.output is not None:
        console.print_json(data=found.output)
    elif large := found.large.get("output"):
        size = "" if large.size is None else f" of {large.size:,} bytes"
        console.print(clean(large.preview))
        console.print(
            f"… the beginning{size}: GET /api/executions/{found.row.id}/output has it all"
        )


def list_(
    *,
    workflow: Annotated[str | None, typer.Option(help="Name or id.")] = None,
    statuses: Annotated[list[str] | None, typer.Option("--status", help="May be repeated.")] = None,
    triggers: Annotated[
        list[str] | None, typer.Option("--trigger", help="May be repeated.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="In id, workflow, error.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Id of what started them.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=reads.MAX_LIMIT)] = 20,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """List executions, newest first."""
    wanted = reads.Filter(
        workflow=workflow, status=statuses, trigger=triggers, text=text, schedule=schedule
    )
    with database() as opened:
        user, now = acting(opened, as_user), opened.now()
        page = opened.read(
            lambda connection: reads.executions(
                connection, user.id, wanted, now=now, cursor=cursor, limit=limit
            )
        )
    if as_json:
        print_json({"items": page.rows, "next_cursor": page.next_cursor})
        return
    rows = (
        (
            clean(row.id),
            status(row.status),
            f"{clean(row.workflow)} v{row.version}",
            f"{row.runs_done}/{row.runs_total}",
            moment(row.created_at),
            length(row.started_at, row.finished_at or now),
            clean(row.detail),
        )
        for row in page.rows
    )
    columns = ("id", "status", "workflow", "done", "created", "took", "")
    further = page.next_cursor
    empty = "no executions: start one with `engine run WORKFLOW`"
    print_table(columns, rows, empty="nothing so far" if further else empty)
    if further and len(page.rows) < limit:
        back = moment(made_at(further))
        console.print(f"looked back to {back}; to go on: --cursor {further}")
    else:
        print_more(page, "executions")


def show(execution: Execution, *, as_user: As = None, as_json: Json = False) -> None:
    """Show an execution: its steps and what they wait for, its parent and children, its output
    or what it died of."""
    with database() as opened:
        user, now = acting(opened, as_user), opened.now()
        found = opened.read(
            lambda connection: reads.execution(connection, user.id, execution, now=now)
        )
    if as_json:
        print_json(found)
        return
    console.print(tree(found, now))
    _ending(found)


def logs(
    execution: Execution,
    *,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it has ended.")
    ] = False,
    step: Annotated[str | None, typer.Option(help="Only this step.")] = None,
    level: Annotated[str | None, typer.Option(help="Only this level, e.g. error.")] = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Print what the steps wrote."""
    with database() as opened:
        user, after = acting(opened, as_user), 0
        while True:
            # Asked before the lines are read: an end between the two must not hide the last ones.
            now = opened.now()
            row = opened.read(
                lambda connection, now=now: reads.execution_row(  # type: ignore[misc]
                    connection, user.id, execution, now=now
                )
            )
            lines = opened.read(
                lambda connection, after=after: reads.logs(  # type: ignore[misc]
                    connection, user.id, execution, after, _LINES, step=step, level=level
                )
            )
            for line in lines:
                _print_line(line, as_json=as_json)
            after = lines[-1].seq if lines else after
            if len(lines) == _LINES:
                continue
            if not following or row.status in EXECUTION_ENDS:
                return
            time.sleep(LOOK_SECONDS)


def _print_line(line: LogView, *, as_json: bool) -> None:
    if as_json:
        print_json(line)
        return
    where = clean(line.step) + ("" if line.item is None else f"\\[{line.item}]")
    attempt = f" #{line.attempt}" if line.attempt > 1 else ""
    console.print(
        f"[bright_black]{moment(line.at)}[/] {line.level:7} {where}{attempt}  {clean(line.message)}"
    )
