"""Databases to throw away: one is migrated per process, the others are its copies."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from engine.io.payloads import Payloads
from engine.settings import Settings
from engine.store.db import migrate
from engine.store.db.database import Database


@cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory(prefix="engine-testing-") as folder:
        path = Path(folder) / "template.db"
        migrate.upgrade(f"sqlite:///{path}")
        return path.read_bytes()


def open_database(folder: Path, settings: Settings) -> Database:
    """Make an empty database with all its tables in ``folder``, its payload store beside it, and
    return it open."""
    path = folder / "engine.db"
    path.write_bytes(_template())
    payloads = Payloads(
        str(folder / "payloads"), inline=settings.inline_limit, limit=settings.payload_limit
    )
    return Database.open(f"sqlite:///{path}", payloads=payloads)
