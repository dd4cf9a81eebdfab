"""Idempotency keys of signals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEYED = sa.text("idempotency_key IS NOT NULL")


def upgrade() -> None:
    op.add_column("signals", sa.Column("idempotency_key", sa.String(128)))
    op.add_column("signals", sa.Column("request_hash", sa.String(64)))
    op.create_index(
        "uq_signals_idempotency",
        "signals",
        ["owner_id", "idempotency_key"],
        unique=True,
        sqlite_where=KEYED,
        postgresql_where=KEYED,
    )


def downgrade() -> None:
    op.drop_index("uq_signals_idempotency", "signals")
    op.drop_column("signals", "request_hash")
    op.drop_column("signals", "idempotency_key")
