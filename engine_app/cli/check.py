"""``engine check``: everything that is wrong with this installation, at once."""

from __future__ import annotations

import http.client
import time
from typing import Any

import redis
import typer

from engine.errors import EngineError, Fault, SettingsError
from engine.io.payloads import Payloads
from engine.settings import Settings, load
from engine.store.db import schema_version
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.writes import schedules
from engine_app.asking import asking, told
from engine_app.cli.local import Json
from engine_app.cli.output import clean, console, print_json

FAULTY = 2  # the exit code when something is wrong
CLOCK_SECONDS = 2.0  # leases are 10 s long: a difference well below cannot hurt


def check(*, as_json: Json = False) -> None:
    """Check settings, database, tables, Redis, payload store, clocks and disk; name every fault."""
    found = find_faults()
    if as_json:
        print_json({"items": found})
    elif not found:
        console.print("[green]✓[/] no fault found")
    for fault in [] if as_json else found:
        console.print(f"[red]✗[/] {clean(fault)}")
    if found:
        raise typer.Exit(FAULTY)


def find_faults() -> list[Fault]:
    """Return all that is wrong."""
    try:
        settings = load()
    except SettingsError as error:
        return list(error.faults)
    # Here and not above: it would make every other command load alembic.
    from engine_app.supervisor import faults  # noqa: PLC0415

    found = faults(settings)
    if _is_up(settings):
        # The port is taken, as it should be: by the engine itself.
        found = [fault for fault in found if fault.path != "ENGINE_PORT"]
    broken = {fault.path for fault in found}
    if "DATABASE_URL" not in broken:
        found += _database(settings)
    if "REDIS_URL" not in broken:
        found += _redis(settings)
    return found + _payloads(settings)


def _is_up(settings: Settings) -> bool:
    host = settings.origin.removeprefix("http://").rpartition(":")[0]
    connection = http.client.HTTPConnection(host, settings.port, timeout=2)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _database(settings: Settings) -> list[Fault]:
    try:
        found = schema_version.current(settings.database)
        if found != schema_version.NEWEST:
            at = f"at {found}" if found else "not there"
            problem = f"the tables are {at}, this release needs {schema_version.NEWEST}"
            return [Fault("DATABASE_URL", problem, "run `engine db upgrade`")]
        database = Database.open(settings.database, threads=1)
        try:
            clock = _clock("DATABASE_URL", "the database's clock", database.now() / 1e6)
            lacks = [Fault("DATABASE_URL", words) for words in database.shortcomings()]
            return clock + lacks + _schedules(database) + _left_alone(database)
        finally:
            database.close()
    except EngineError as error:
        return [Fault("DATABASE_URL", error.message, error.hint)]


def _schedules(database: Database) -> list[Fault]:
    held_up = database.read(schedules.held_up)
    if not held_up:
        return []
    problem = f"{held_up} are due and cannot start"
    return [Fault("schedules", problem, "`engine schedules list` says why, for those of each user")]


def _left_alone(database: Database) -> list[Fault]:
    """Return that there are executions which rescue cannot look after: the doctor says why."""
    count = database.read(liveness.faulty).count
    if not count:
        return []
    problem = f"rescue cannot look after {count} of them: what they lose stays lost"
    return [Fault("executions", problem, "`engine doctor` names them and says why")]


def _payloads(settings: Settings) -> list[Fault]:
    if not settings.store_url and not settings.home.exists():
        return []  # the first start makes the home, for its owner's eyes only
    try:
        Payloads.of(settings).probe()
    except EngineError as error:
        return [Fault("ENGINE_STORE_URL", error.message, "large values go there: make it writable")]
    return []


def _redis(settings: Settings) -> list[Fault]:
    try:
        client = asking(settings.redis)
    except SettingsError as error:
        return [Fault("REDIS_URL", error.message, error.hint)]
    except ValueError as error:  # a part of the URL that only redis-py reads
        return [Fault("REDIS_URL", str(error))]
    try:
        at: Any = client.time()  # typed for redis's asyncio too
    except redis.RedisError as error:
        return [Fault("REDIS_URL", f"Redis {told(error)}", "start it, or set another")]
    finally:
        client.close()
    return _clock("REDIS_URL", "Redis's clock", at[0] + at[1] / 1e6)


def _clock(path: str, whose: str, there: float) -> list[Fault]:
    apart = there - time.time()
    if abs(apart) <= CLOCK_SECONDS:
        return []
    problem = f"{whose} is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this one"
    return [Fault(path, problem, "set both by NTP")]
