"""``engine schedules list, create, pause, resume, delete``."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.codec import MAX_INTEGER
from engine.commands import schedule
from engine.store import reads
from engine.store.writes import schedules
from engine_app.cli.inputs import parse_input
from engine_app.cli.local import MOST, As, Json, acting, database, every
from engine_app.cli.output import clean, console, moment, print_json, print_table
from engine_app.schedule_notes import note

app = typer.Typer(no_args_is_help=True, help="Start workflows at set times.")
Schedule = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Its id.")]


@app.command("list")
def list_(*, as_user: As = None, as_json: Json = False) -> None:
    """List your schedules."""
    with database() as opened:
        user = acting(opened, as_user)
        rows = every(
            opened, lambda c, cursor: reads.schedules(c, user.id, cursor=cursor, limit=MOST)
        )
    if as_json:
        print_json({"items": rows})
        return
    print_table(
        ("id", "name", "workflow", "cron", "zone", "next", "note"),
        (
            (
                clean(row.id),
                clean(row.name),
                clean(row.workflow) + (f" v{row.version}" if row.version else ""),
                clean(row.cron),
                clean(row.zone),
                "paused" if row.paused_at else moment(row.next_at, row.zone),
                clean(note(row)),
            )
            for row in rows
        ),
        empty="no schedules: make one with `engine schedules create WORKFLOW CRON`",
    )


@app.command()
def create(
    workflow: Annotated[str, typer.Argument(help="Its name or id.")],
    cron: Annotated[str, typer.Argument(help="Five fields in quotes, or e.g. @daily.")],
    *,
    name: Annotated[str | None, typer.Option(help="[default: the workflow's]")] = None,
    zone: Annotated[str, typer.Option(help="IANA time zone.")] = "UTC",
    given: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="As for `engine run`.")
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_INTEGER, help="[default: newest at each slot]"),
    ] = None,
    missed: Annotated[str, typer.Option(help="Missed slots: skip, latest or all.")] = "latest",
    missed_cap: Annotated[int, typer.Option(min=1, help="Slots that `all` catches up.")] = 10,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Make a schedule and print its id."""
    with database() as opened:
        schedule_id = schedule.create(
            opened,
            owner_id=acting(opened, as_user).id,
            workflow=workflow,
            name=name or workflow,
            cron=cron,
            zone=zone,
            input=parse_input(given or []),
            version=version,
            missed=missed,
            missed_cap=missed_cap,
        )
    if as_json:
        print_json({"id": schedule_id})
    else:
        console.print(schedule_id)


@app.command()
def pause(schedule_id: Schedule, *, as_user: As = None) -> None:
    """Stop a schedule until it is resumed."""
    with database() as opened:
        user, now = acting(opened, as_user), opened.now()
        opened.write(lambda connection: schedules.pause(connection, user.id, schedule_id, now))


@app.command()
def resume(schedule_id: Schedule, *, as_user: As = None) -> None:
    """Make a paused schedule due again, at its next slot."""
    with database() as opened:
        user, now = acting(opened, as_user), opened.now()
        opened.write(lambda connection: schedules.resume(connection, user.id, schedule_id, now))


@app.command()
def delete(schedule_id: Schedule, *, as_user: As = None) -> None:
    """Delete a schedule; the executions it started stay."""
    with database() as opened:
        user = acting(opened, as_user)
        opened.write(lambda connection: schedules.remove(connection, user.id, schedule_id))
