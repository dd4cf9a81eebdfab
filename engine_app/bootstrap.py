"""What a start puts into the database: tables, a first user, the workflows of the modules.

The supervisor forks, so it keeps no connection open: SQLite's locks do not survive one.
"""

from __future__ import annotations

import getpass
import platform
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine import registry
from engine.commands import publish
from engine.errors import InvalidError, Unavailable
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.writes import users
from engine_app.auth.links import create_link
from engine_app.auth.names import check_name

_FIRST_USER = "owner"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What there is now: whom a start greets, and the names of the modules' workflows."""

    user: str
    user_id: str
    workflows: list[str]


def prepare(settings: Settings) -> Prepared:
    """Make the tables, the first user and the versions of the modules' workflows.

    To be called in a process that ends with it: it imports the user's modules.
    """
    # Here and not above: alembic would stay in the supervisor for as long as it runs.
    from engine.store.db import migrate  # noqa: PLC0415

    migrate.upgrade(settings.database)
    registry.load_modules(settings.modules)
    with _opened(settings) as database:
        first = database.read(users.first)
        user = first.name if first else _name_of_person()
        user_id = first.id if first else _add(database, user)
        publish.publish_all(database, user_id)
    return Prepared(user, user_id, sorted(found.name for found in registry.workflows()))


def link(settings: Settings, user_id: str) -> str:
    """Return the path of a page that signs the user in, once."""
    with _opened(settings) as database:
        return create_link(database, user_id)


def mark_stopped(settings: Settings, pids: Collection[int]) -> bool:
    """Mark workers of this machine as dead at once; return whether the database took it."""
    host = platform.node()
    try:
        with _opened(settings) as database:
            now = database.now()
            database.write(
                lambda connection: sum(
                    liveness.stop_processes(connection, now, host=host, pid=pid) for pid in pids
                )
            )
    except Unavailable:
        return False  # their leases will run out instead
    return True


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = Database.open(settings.database, threads=1)
    try:
        yield database
    finally:
        database.close()


def _add(database: Database, name: str) -> str:
    now = database.now()
    return database.write(lambda connection: users.add(connection, name, now))


def _name_of_person() -> str:
    try:
        name = getpass.getuser()
        check_name(name)
    except (KeyError, OSError, InvalidError):
        return _FIRST_USER  # an account without a name, as containers have, or with an odd one
    return _FIRST_USER if name == "root" else name
