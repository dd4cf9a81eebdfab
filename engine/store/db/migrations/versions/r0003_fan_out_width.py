"""Fan-outs that begin narrow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NARROW = "status = 'running' AND items_held IS NOT NULL"


def upgrade() -> None:
    op.add_column("step_runs", sa.Column("items_held", sa.Integer()))
    op.create_index(
        "ix_step_runs_narrow",
        "step_runs",
        ["started_at"],
        sqlite_where=sa.text(NARROW),
        postgresql_where=sa.text(NARROW),
    )


def downgrade() -> None:
    op.drop_index("ix_step_runs_narrow", "step_runs")
    op.drop_column("step_runs", "items_held")
