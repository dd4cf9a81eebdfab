"""Whether a parked step run was woken; of those that wait for a signal, who waits longest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
_LISTENING = "status = 'waiting' AND wait_for NOT IN ('approval', 'workflow')"


def upgrade() -> None:
    woken: sa.Column[bool] = sa.Column(
        "woken", sa.Boolean(), nullable=False, server_default=sa.text("false")
    )
    op.add_column("step_runs", woken)
    # What told it before: those woken now would sleep once more.
    op.execute("UPDATE step_runs SET woken = true WHERE status = 'queued' AND reason = 'woken'")
    op.create_index(
        "ix_step_runs_listening",
        "step_runs",
        ["wait_for", "started_at"],
        sqlite_where=sa.text(_LISTENING),
        postgresql_where=sa.text(_LISTENING),
    )


def downgrade() -> None:
    op.drop_index("ix_step_runs_listening", table_name="step_runs")
    op.drop_column("step_runs", "woken")
