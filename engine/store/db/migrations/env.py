"""What alembic runs for each command: on the connection it is given, else on the settings' own."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from engine import settings
from engine.store.tables import Base


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite cannot alter most things in place: alembic then copies the table
        render_as_batch=True,
        # alembic assumes SQLite cannot roll DDL back; with our explicit BEGIN it can, so a
        # revision that is killed half way leaves nothing behind
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _main() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given)
        return
    with create_engine(settings.load().database, poolclass=pool.NullPool).connect() as connection:
        _run(connection)


_main()
