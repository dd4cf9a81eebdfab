"""Bring a database's tables to what the code expects: one process at a time, all or nothing."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy import text as sql
from sqlalchemy.engine import URL

from engine.errors import SchemaTooNew, Unavailable
from engine.store.db import schema_version

_HERE = Path(__file__).parent / "migrations"
# Any fixed number does, as long as every release of the engine uses the same one.
_ADVISORY_LOCK = 0x656E67696E65


def upgrade(url: str) -> None:
    """Create or change the tables up to the newest revision; others that ask meanwhile wait.

    Args:
        url: as ``Database.open`` takes it.

    Raises:
        EngineError: the tables were made by a newer release than this code.
        Unavailable: the database does not answer, or its folder cannot be written.
    """
    parsed = schema_version.parsed(url)
    if schema_version.is_sqlite(parsed):
        _make_folder(parsed)
    with schema_version.connected(parsed) as connection, _alone(connection):
        _refuse_newer(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _make_folder(url: URL) -> None:
    folder = Path(url.database or ".").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"the database's folder {folder} cannot be made: {error.strerror}",
            hint="give another in DATABASE_URL",
        ) from error


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold what only one migrator holds: two at once would both create the first table."""
    if connection.dialect.name == "sqlite":
        # On a file of its own: closing any descriptor of the database drops SQLite's own locks
        with Path(f"{connection.engine.url.database}.migrate-lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with connection.engine.connect() as holder:
        # Of its transaction, which stays open meanwhile: behind a pooler the session outlives it,
        # and a lock of the session would be held for ever.
        holder.execute(sql("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield


def _refuse_newer(connection: Connection) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaTooNew(
            f"the database is at revision {found}, which this release does not know",
            hint="it was upgraded by a newer release: run that one, or give another DATABASE_URL",
        )
