"""Why a worker ended, and what its guardian found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("workers", sa.Column("end_reason", sa.Text()))
    op.add_column("workers", sa.Column("stall", sa.Text()))


def downgrade() -> None:
    op.drop_column("workers", "stall")
    op.drop_column("workers", "end_reason")
