"""Which revision a database's tables are at. Without alembic, which takes half a second to
import: every command and every look at readiness asks this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect, make_url, pool, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import OperationalError

from engine.errors import Unavailable

NEWEST = "0008"  # what this code expects: the last file in migrations/versions
_BUSY_SECONDS = 30
_CONNECT_SECONDS = 5


def current(url: str) -> str | None:
    """Return the revision the tables are at, or None when there are none.

    Args:
        url: as ``Database.open`` takes it.

    Raises:
        Unavailable: the database does not answer.
    """
    address = parsed(url)
    if is_sqlite(address) and not Path(address.database or "").exists():
        return None  # connecting would make an empty file, and looking must change nothing
    with connected(address) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def parsed(address: str) -> URL:
    """Return ``address`` with the driver that this engine uses."""
    url = make_url(address)
    plain = url.drivername in ("postgresql", "postgres")
    return url.set(drivername="postgresql+psycopg") if plain else url


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """Yield a connection; what goes wrong on it is said in one sentence."""
    # Nothing is prepared: behind a pooler another session may be asked for it.
    server: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "prepare_threshold": None}
    options = {} if is_sqlite(url) else server
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


def is_sqlite(url: URL) -> bool:
    """Return whether it is a file."""
    return url.get_backend_name() == "sqlite"


def _begin_explicitly(engine: Engine) -> None:
    """Make DDL part of the transaction, which Python's driver by itself leaves outside."""

    @event.listens_for(engine, "connect")
    def _plain(dbapi: object, _record: object) -> None:
        dbapi.isolation_level = None  # type: ignore[attr-defined]  # sqlite3.Connection
        dbapi.execute(  # type: ignore[attr-defined]
            f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}"
        )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
