"""What the database's own errors become, and what of them is told."""

from __future__ import annotations

from traceback import format_exception

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.errors import Unavailable
from engine.store.database import Database


@pytest.mark.parametrize("way", ["read", "write"])
def test_an_error_of_the_database_does_not_repeat_what_was_sent(
    database: Database, way: str
) -> None:
    statement = text("SELECT nothing_of_that_name FROM users WHERE id = :id")
    with pytest.raises((DBAPIError, Unavailable)) as caught:
        getattr(database, way)(lambda connection: connection.execute(statement, {"id": "canary"}))
    logged = "".join(format_exception(caught.value))
    assert "no such column" in logged or "does not exist" in logged
    assert "'canary'" not in logged
