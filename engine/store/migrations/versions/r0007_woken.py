"""Whether a parked step run was woken: its row says so until it is parked or tried again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    woken: sa.Column[bool] = sa.Column(
        "woken", sa.Boolean(), nullable=False, server_default=sa.text("false")
    )
    op.add_column("step_runs", woken)
    # What told it before: those woken now would sleep once more.
    op.execute("UPDATE step_runs SET woken = true WHERE status = 'queued' AND reason = 'woken'")


def downgrade() -> None:
    op.drop_column("step_runs", "woken")
