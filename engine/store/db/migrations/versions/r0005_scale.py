"""Indexes for what is asked of a long history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

CRASHED = "status IN ('queued', 'running') AND crashes > 0"
REUSED = "reused_from IS NOT NULL"


def upgrade() -> None:
    _partial("ix_step_runs_crashed", "crashes", CRASHED)
    _partial("ix_step_runs_reused", "reused_from", REUSED)
    op.create_index("ix_dead_letters_owner", "dead_letters", ["owner_id", "id"])
    op.create_index("ix_dead_letters_execution", "dead_letters", ["execution_id"])


def downgrade() -> None:
    op.drop_index("ix_dead_letters_execution", "dead_letters")
    op.drop_index("ix_dead_letters_owner", "dead_letters")
    op.drop_index("ix_step_runs_reused", "step_runs")
    op.drop_index("ix_step_runs_crashed", "step_runs")


def _partial(name: str, column: str, where: str) -> None:
    op.create_index(
        name, "step_runs", [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
