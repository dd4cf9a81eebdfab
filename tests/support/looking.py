"""What tests ask a database about executions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from engine.codec import decode
from engine.store.db.database import Database


class Looking:
    """Questions to ``database``, for whoever has one."""

    database: Database

    def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.database.read(
            lambda connection: [tuple(row) for row in connection.execute(text(sql), values)]
        )

    def write(self, sql: str, **values: Any) -> None:
        """Change rows behind the engine's back."""
        self.database.write(lambda connection: connection.execute(text(sql), values))

    def execution(self, execution_id: str, *columns: str) -> tuple[Any, ...]:
        """Return columns of an execution."""
        names = ", ".join(columns)
        return self.query(f"SELECT {names} FROM executions WHERE id = :id", id=execution_id)[0]

    def status(self, execution_id: str) -> str:
        """Return an execution's status."""
        return str(self.execution(execution_id, "status")[0])

    def output(self, execution_id: str) -> Any:
        """Return an execution's output as a value."""
        found = self.execution(execution_id, "output")[0]
        return None if found is None else decode(self.database.payloads.read(found, "output"))

    def step(self, execution_id: str, step: int, *columns: str, item: int = -1) -> tuple[Any, ...]:
        """Return columns of a step run."""
        return self.query(
            f"SELECT {', '.join(columns)} FROM step_runs"
            " WHERE execution_id = :id AND step = :step AND item = :item",
            id=execution_id,
            step=step,
            item=item,
        )[0]

    def events(self, execution_id: str) -> list[str]:
        """Return the names of an execution's events, in order; checks that none is missing."""
        rows = self.query(
            "SELECT seq, type FROM events WHERE execution_id = :id ORDER BY seq", id=execution_id
        )
        assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
        return [name for _, name in rows]
