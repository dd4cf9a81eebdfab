"""Lists in pages: each goes on behind the last row of the one before, whatever comes or goes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Row, Select, tuple_

from engine.codec import decode, encode
from engine.errors import EngineError, InvalidQuery

T = TypeVar("T")
U = TypeVar("U")

PAGE = 50  # rows, unless asked for more or fewer
MAX_LIMIT = 200
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows and the cursor of those that follow; no cursor: these are the last."""

    rows: Sequence[T]
    next_cursor: str | None

    def map(self, as_shown: Callable[[T], U]) -> Page[U]:
        """Return the page with each row as that function shows it."""
        return Page([as_shown(row) for row in self.rows], self.next_cursor)


def page(
    connection: Connection,
    statement: Select[Any],
    by: Sequence[Any],
    *,
    newest: bool = False,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Row[Any]]:
    """Return a page of the statement's rows, in the order of columns that tell them apart.

    Args:
        by: those columns, of text or of numbers; the statement selects them.
        newest: the greatest first.
        cursor: of the page before.
        limit: 1 to 200.

    Raises:
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    check_limit(limit)
    if cursor is not None:
        here, last = tuple_(*by), tuple_(*_values(cursor, by))
        statement = statement.where(here < last if newest else here > last)
    ordered = statement.order_by(*(column.desc() if newest else column for column in by))
    rows = connection.execute(ordered.limit(limit + 1)).all()
    shown = rows[:limit]
    if len(rows) <= limit:
        return Page(shown, None)
    last_row = shown[-1]._mapping
    return Page(shown, _cursor([last_row[column.name] for column in by]))


def every(pages: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Yield the rows of all pages; ``pages`` returns the one behind a cursor."""
    found = pages(None)
    yield from found.rows
    while found.next_cursor is not None:
        found = pages(found.next_cursor)
        yield from found.rows


def check_limit(limit: int) -> None:
    """Raise InvalidQuery unless that many rows may be asked for at once."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit must be 1 to {MAX_LIMIT}")


def no_cursor() -> InvalidQuery:
    """Return the refusal of a cursor that no page gave."""
    return InvalidQuery("the cursor is not one that a page gave", hint="leave it out")


def _cursor(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(encode(values).encode()).decode().rstrip("=")


def _values(cursor: str, by: Sequence[Any]) -> list[Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = decode(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError, EngineError):
        raise no_cursor() from None
    if not isinstance(values, list) or len(values) != len(by):
        raise no_cursor()
    if not all(_fits(value, column) for value, column in zip(values, by, strict=True)):
        raise no_cursor()
    return values


def _fits(value: Any, column: Any) -> bool:
    if column.type.python_type is int:
        return type(value) is int and abs(value) <= _LARGEST
    return isinstance(value, str) and "\0" not in value and value.isprintable()
