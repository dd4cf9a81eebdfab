"""How many bytes each table and each index of a database takes."""

from __future__ import annotations

from sqlalchemy import create_engine, pool

from engine.store.db import schema_version

_SQLITE = "SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE AND pgsize > 4096"
_POSTGRES = (
    "SELECT c.relname, pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n"
    " ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i')"
    " AND pg_table_size(c.oid) > 16384"
)


def of(url: str) -> dict[str, int]:
    """Return bytes by table and index, the largest first, and their ``total``.

    A table's own bytes leave out its indexes. SQLite's tables without row ids are their primary
    key; ``sqlite_autoindex_…`` is a primary key or a unique constraint of the others.
    """
    engine = create_engine(schema_version.parsed(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        sql = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRES
        rows = [(str(row[0]), int(row[1])) for row in connection.exec_driver_sql(sql)]
    found = dict(sorted(rows, key=lambda row: -row[1]))
    return {"total": sum(found.values())} | found
