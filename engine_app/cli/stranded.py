"""``engine stranded list, move, cancel``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from engine.codec import MAX_INTEGER
from engine.commands.missing_code import Bulk, Stranded
from engine_app.cli.local import As, Json, acting, engine
from engine_app.cli.output import clean, console, print_json, print_table

if TYPE_CHECKING:
    from actors.client import Client

app = typer.Typer(no_args_is_help=True, help="Executions whose steps no worker has the code for.")
Workflow = Annotated[str, typer.Argument(help="Its name or id.")]
Version = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_INTEGER, help="Only those of this one [default: all]."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, only count.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without being asked.")]


@app.command("list")
def list_(*, as_user: As = None, as_json: Json = False) -> None:
    """List them by workflow and version. Left alone they wait for a worker that has the code."""
    with engine() as client:
        rows = client.find_stranded(owner_id=acting(client.database, as_user).id)
    if as_json:
        print_json({"items": rows or []})
    elif rows is None:
        console.print("no worker is alive, so nobody can tell which code is missing: start one")
    else:
        table(rows)


def table(rows: Iterable[Stranded]) -> None:
    """Print a row per version."""
    cells = (
        (
            f"{clean(row.workflow)} v{row.version}",
            f"v{row.newest_version}",
            str(row.executions),
            ", ".join(f"{clean(one.step)} ({clean(one.code)})" for one in row.missing),
        )
        for row in rows
    )
    columns = ("workflow", "newest", "executions", "steps without code")
    print_table(columns, cells, empty="none: workers have the code of every step in flight")


@app.command()
def move(
    workflow: Workflow,
    *,
    version: Version = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Run them again on the newest version, with the outputs they have, and cancel the old."""
    _settle(workflow, version, as_user, moving=True, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command()
def cancel(
    workflow: Workflow,
    *,
    version: Version = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Cancel them."""
    _settle(workflow, version, as_user, moving=False, dry_run=dry_run, yes=yes, as_json=as_json)


def _settle(
    workflow: str,
    version: int | None,
    as_user: str | None,
    *,
    moving: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json asks nothing: add --dry-run or --yes")
    with engine() as client:
        owner_id = acting(client.database, as_user).id
        planned = _once(client, owner_id, workflow, version, moving=moving, dry_run=True)
        if not as_json:
            _tell(planned, "would be moved" if moving else "would be cancelled")
        if not planned.done or dry_run or not (yes or typer.confirm("Go on?")):
            if as_json:
                _print(planned, dry_run=True)
            return
        bulk = _once(client, owner_id, workflow, version, moving=moving, dry_run=False)
    if as_json:
        _print(bulk, dry_run=False)
        return
    for one in bulk.done:
        console.print(clean(one.execution_id) + (f" → {one.moved_to}" if one.moved_to else ""))
    _tell(bulk, "moved" if moving else "cancelled")


def _once(
    client: Client,
    owner_id: str,
    workflow: str,
    version: int | None,
    *,
    moving: bool,
    dry_run: bool,
) -> Bulk:
    return client.settle_stranded(
        owner_id=owner_id, workflow=workflow, version=version, move=moving, dry_run=dry_run
    )


def _tell(bulk: Bulk, what: str) -> None:
    console.print(f"{len(bulk.done)} {what}, {len(bulk.left)} left")
    for one in bulk.left:
        console.print(f"  {clean(one.execution_id)}: {clean(one.why)}")
    if bulk.more:
        console.print("there are more: run it again")


def _print(bulk: Bulk, *, dry_run: bool) -> None:
    print_json({"dry_run": dry_run, "done": bulk.done, "left": bulk.left, "more": bulk.more})
