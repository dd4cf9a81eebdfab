"""Why a worker ended, what its guardian found; why a schedule does not start, what it skipped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("workers", sa.Column("end_reason", sa.Text()))
    op.add_column("workers", sa.Column("stall", sa.Text()))
    op.add_column("schedules", sa.Column("problem", sa.Text()))
    op.add_column("schedules", sa.Column("problem_at", sa.BigInteger()))
    op.add_column("schedules", sa.Column("skipped", sa.Text()))


def downgrade() -> None:
    for name in ("skipped", "problem_at", "problem"):
        op.drop_column("schedules", name)
    op.drop_column("workers", "stall")
    op.drop_column("workers", "end_reason")
