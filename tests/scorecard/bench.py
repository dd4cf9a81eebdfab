"""Databases for the drills: one server a scorecard, one database a run."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.store.db import migrate
from tests.support.postgres import OwnServer, create_database, drop_database, own_server

DATABASES = ("sqlite", "postgres")


@dataclass(frozen=True)
class Bench:
    """Where runs get their databases.

    Attributes:
        kind: one of ``DATABASES``.
        server: the PostgreSQL server, which a drill may crash; None on SQLite.
    """

    kind: str
    server: OwnServer | None
    _template: str

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a migrated database that nobody else uses."""
        if self.server is None:
            with tempfile.TemporaryDirectory(prefix="engine-drill-") as folder:
                shutil.copyfile(self._template, f"{folder}/engine.db")
                yield f"sqlite:///{folder}/engine.db"
            return
        name = f"drill_{uuid.uuid4().hex[:12]}"
        try:
            yield create_database(self.server.url, name, template=self._template)
        finally:
            drop_database(self.server.url, name)


@contextmanager
def bench(kind: str) -> Iterator[Bench]:
    """Yield a bench; a PostgreSQL server runs with its own defaults, so that a commit is one."""
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-drill-"))
            path = Path(folder) / "template.db"
            migrate.upgrade(f"sqlite:///{path}")
            yield Bench(kind, None, str(path))
            return
        server = stack.enter_context(own_server(durable=True))
        migrate.upgrade(create_database(server.url, "template_drill"))
        yield Bench(kind, server, "template_drill")
