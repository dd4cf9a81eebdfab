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
from sqlalchemy import Connection, create_engine, event, make_url, pool
from sqlalchemy import text as sql
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import OperationalError

from engine.errors import EngineError, Unavailable

_HERE = Path(__file__).parent / "migrations"
# Any fixed number does, as long as every release of the engine uses the same one.
_ADVISORY_LOCK = 0x656E67696E65
_SQLITE_BUSY_SECONDS = 30
_CONNECT_SECONDS = 5


def upgrade(url: str) -> None:
    """Create or change the tables up to the newest revision; others that ask meanwhile wait.

    Args:
        url: as ``Database.open`` takes it.

    Raises:
        EngineError: the tables were made by a newer release than this code.
        Unavailable: the database does not answer, or its folder cannot be written.
    """
    parsed = _parsed(url)
    if _is_sqlite(parsed):
        _make_folder(parsed)
    with _connection(parsed) as connection, _alone(connection):
        _refuse_newer(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current(url: str) -> str | None:
    """Return the revision the tables are at, or None when there are none."""
    parsed = _parsed(url)
    if _is_sqlite(parsed) and not Path(parsed.database or "").exists():
        return None  # connecting would make an empty file, and looking must change nothing
    with _connection(parsed) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """Return the revision this code expects."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "the package ships without its migrations"
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _parsed(text: str) -> URL:
    url = make_url(text)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


@contextmanager
def _connection(url: URL) -> Iterator[Connection]:
    """Yield a connection; what goes wrong on it is said in one sentence."""
    options = {} if _is_sqlite(url) else {"connect_timeout": _CONNECT_SECONDS}
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=options)
    if engine.dialect.name == "sqlite":
        _begin_explicitly(engine)
    try:
        with engine.connect() as connection:
            yield connection
    except OperationalError as error:
        raise Unavailable(
            f"the database {url.render_as_string()} does not work: {str(error.orig).strip()}",
            hint="check DATABASE_URL, and that the server is up or the folder can be written",
        ) from error


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _make_folder(url: URL) -> None:
    folder = Path(url.database or ".").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"the database's folder {folder} cannot be made: {error.strerror}",
            hint="give another in DATABASE_URL",
        ) from error


def _begin_explicitly(engine: Engine) -> None:
    """Make DDL part of the transaction, which Python's driver by itself leaves outside."""

    @event.listens_for(engine, "connect")
    def _plain(dbapi: object, _record: object) -> None:
        dbapi.isolation_level = None  # type: ignore[attr-defined]  # sqlite3.Connection
        dbapi.execute(  # type: ignore[attr-defined]
            f"PRAGMA busy_timeout = {_SQLITE_BUSY_SECONDS * 1000}"
        )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


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
        holder.execute(sql("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield


def _refuse_newer(connection: Connection) -> None:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise EngineError(
            f"the database is at revision {revision}, which this release does not know",
            hint="it was upgraded by a newer release: run that one, or give another DATABASE_URL",
        )
