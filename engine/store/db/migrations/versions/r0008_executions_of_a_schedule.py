"""The executions of a schedule, found by its id, newest first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
_SCHEDULED = "schedule_id IS NOT NULL"


def upgrade() -> None:
    op.create_index(
        "ix_executions_schedule",
        "executions",
        ["schedule_id", "id"],
        sqlite_where=sa.text(_SCHEDULED),
        postgresql_where=sa.text(_SCHEDULED),
    )


def downgrade() -> None:
    op.drop_index("ix_executions_schedule", table_name="executions")
