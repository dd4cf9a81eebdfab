"""What commands work on: this machine's settings, database and engine, as one of its people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from engine.codec import MAX_INTEGER
from engine.definition import MAX_TEXT
from engine.errors import InvalidError, NotFound, Unavailable
from engine.io.payloads import Payloads
from engine.settings import Settings, current
from engine.store import reads
from engine.store.db import schema_version
from engine.store.db.database import Database
from engine.store.reads import Page
from engine.store.writes import users
from engine.store.writes.users import UserRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from actors.client import Client

T = TypeVar("T")
MOST = reads.MAX_LIMIT  # rows a page: a list on a terminal is whole, and read in few steps

# Numbers that a database can be asked for.
Version = Annotated[
    int | None, typer.Option(min=1, max=MAX_INTEGER, help="Of the workflow [default: newest].")
]
As = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Act as this user [default: the first].")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings() -> Settings:
    """Return this process's settings."""
    return current()


@contextmanager
def database() -> Iterator[Database]:
    """Yield the database, which must have its tables.

    Raises:
        Unavailable: it does not answer, or `engine db upgrade` is still to be run.
    """
    url = settings().database
    if schema_version.current(url) != schema_version.NEWEST:
        raise Unavailable(
            "the database does not have this release's tables",
            hint="run `engine db upgrade`, or start the engine once with `engine up`",
        )
    opened = Database.open(
        url,
        synchronous=settings().sqlite_synchronous,
        threads=2,
        payloads=Payloads.of(settings()),
    )
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def engine() -> Iterator[Client]:
    """Yield a client that can start and steer executions."""
    with database():
        # Importing actors makes this process's broker, which needs Redis: commands that only
        # read or write rows must work without it.
        from actors.client import open_client  # noqa: PLC0415

        client = open_client(settings(), threads=2)
    try:
        yield client
    finally:
        client.close()


def every(opened: Database, pages: Callable[[Connection, str | None], Page[T]]) -> list[T]:
    """Return the rows of all pages; ``pages`` reads the one behind a cursor."""
    return opened.read(
        lambda connection: list(reads.every(lambda cursor: pages(connection, cursor)))
    )


def acting(opened: Database, name: str | None) -> UserRecord:
    """Return the user of that name, else the first.

    Raises:
        NotFound: there is none.
    """
    if name is not None:
        return opened.read(lambda connection: users.find(connection, name))
    first = opened.read(users.first)
    if first is None:
        raise NotFound("there is no user yet", hint="add one with `engine user add NAME`")
    return first


def read_text(path: str, most: int = MAX_TEXT) -> str:
    """Return a file's text as it is, line ends too; ``-`` is standard input.

    Args:
        path: of the file.
        most: bytes that it may have; no more are read.

    Raises:
        InvalidError: it cannot be read, is over the limit, or is no text.
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read(most + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(most + 1)
        if len(content) > most:
            raise InvalidError(f"{path} has more than {most:,} bytes, the most that is taken here")
        return content.decode("utf-8")
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            raise InvalidError(f"{path} is not UTF-8 at byte {error.start}") from None
        raise InvalidError(f"{path!r} is no name of a file: {error}") from None
