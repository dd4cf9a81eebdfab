"""``engine up, web, worker, scheduler, rescue`` and ``engine db upgrade``."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import Unavailable
from engine.recovery import Rescue
from engine.store.db import schema_version
from engine_app.cli.local import engine, settings
from engine_app.cli.output import clean, console, errors

if TYPE_CHECKING:
    from actors.client import Client

db = typer.Typer(no_args_is_help=True, help="The database's tables.")


def up(
    *,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when sources change.")] = False,
) -> None:
    """Run everything on this machine in one terminal; Ctrl-C drains and stops it."""
    # Here and not above, like each import below: the other commands have no use for it.
    from engine_app import supervisor  # noqa: PLC0415

    supervisor.run_up(settings(), reload=reload)


def web() -> None:
    """Run the web server alone: pages, API and live channel on one port."""
    from engine_app import supervisor  # noqa: PLC0415

    supervisor.run_web(settings())


def worker(
    *,
    queues: Annotated[
        list[str] | None, typer.Option("--queue", help="May be repeated [default: all].")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Steps at once.")] = None,
) -> None:
    """Run one worker process alone."""
    from engine_app import supervisor  # noqa: PLC0415

    supervisor.run_worker(settings(), queues=queues or (), threads=threads)


def scheduler() -> None:
    """Run the process that starts what is due, once a minute, alone."""
    from engine_app import supervisor  # noqa: PLC0415

    supervisor.run_scheduler(settings())


def rescue() -> None:
    """Look after what dead workers and lost messages left behind, beside the workers who do so
    too: for when none of them is up."""
    with engine() as client:
        console.print("sweeping; Ctrl-C stops it")
        _sweep_for_ever(client)


def _sweep_for_ever(client: Client) -> None:
    # Importing actors makes this process's broker, which needs Redis: here and not above, so that
    # the other commands do without.
    from actors import messages  # noqa: PLC0415
    from actors.notifications import Looks  # noqa: PLC0415

    holder, looks = f"rescue-{uuid.uuid4().hex[:12]}", Looks(client.redis)
    rescuer = Rescue(client.settings, client.database, client.versions, client.broker, looks.add)
    since = time.monotonic()
    while True:
        # Others may be called dead only once our own writes have gone through for a whole lease:
        # a database that was away makes everybody look dead.
        steady = time.monotonic() - since >= client.settings.lease_seconds
        try:
            messages.send(client.broker, rescuer.sweep(holder, steady=steady))
            away = rescuer.interrupted
        except Unavailable as error:
            errors.print(clean(error.message))
            away = True
        if away:
            since = time.monotonic()
        time.sleep(client.settings.sweep_seconds)


@db.command()
def upgrade() -> None:
    """Bring the tables to what this release needs; others that ask meanwhile wait."""
    from engine.store.db import migrate  # noqa: PLC0415

    url = settings().database
    before = schema_version.current(url)
    migrate.upgrade(url)
    after = schema_version.current(url)
    console.print(f"already at {after}" if before == after else f"upgraded to {after}")
