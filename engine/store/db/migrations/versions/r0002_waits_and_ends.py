"""Waits, children, closing steps, deadlines, caches."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

# Written out, not imported: a revision must stay what it was when the models move on.
ID = sa.String(13).with_variant(postgresql.VARCHAR(13, collation="C"), "postgresql")
TIME = sa.BigInteger()
OPEN = "status IN ('pending', 'running', 'waiting', 'paused')"
FALSE = sa.text("false")


def upgrade() -> None:
    for column in _execution_columns():
        op.add_column("executions", column)
    for column in _run_columns():
        op.add_column("step_runs", column)
    _partial(
        "ix_executions_deadline",
        "executions",
        ["deadline_at"],
        f"{OPEN} AND deadline_at IS NOT NULL",
    )
    _partial("ix_executions_parent", "executions", ["parent_id"], "parent_id IS NOT NULL")
    _partial("ix_executions_origin", "executions", ["origin_id"], "origin_id IS NOT NULL")
    _partial(
        "ix_step_runs_expiring",
        "step_runs",
        ["queued_at"],
        "status = 'queued' AND expires_in IS NOT NULL",
    )
    _partial(
        "ix_step_runs_awaiting",
        "step_runs",
        ["wait_for"],
        "status = 'waiting' AND wait_for IS NOT NULL",
    )
    _partial(
        "ix_step_runs_unknown",
        "step_runs",
        ["execution_id"],
        "status = 'queued' AND reason = 'unknown_step'",
    )
    _create_signals()
    _create_notices()
    _create_cached_results()


def downgrade() -> None:
    for table in ("cached_results", "notices", "signals"):
        op.drop_table(table)
    for index, table in (
        ("ix_step_runs_unknown", "step_runs"),
        ("ix_step_runs_awaiting", "step_runs"),
        ("ix_step_runs_expiring", "step_runs"),
        ("ix_executions_origin", "executions"),
        ("ix_executions_parent", "executions"),
        ("ix_executions_deadline", "executions"),
    ):
        op.drop_index(index, table)
    for column in _run_columns():
        op.drop_column("step_runs", column.name)
    for column in _execution_columns():
        op.drop_column("executions", column.name)


def _execution_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("phase", sa.String(10), server_default=sa.text("'steps'"), nullable=False),
        sa.Column("interrupting", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("deadline_at", TIME),
        sa.Column("rerun_from", sa.String(64)),
        sa.Column("parent_id", ID),
        sa.Column("parent_step", sa.Integer()),
        sa.Column("parent_item", sa.Integer()),
        sa.Column("parent_epoch", sa.Integer()),
        sa.Column("leaves_parent", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("depth", sa.Integer(), server_default=sa.text("0"), nullable=False),
    ]


def _run_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("expires_in", sa.BigInteger()),
        sa.Column("wait_for", sa.String(256)),
        sa.Column("items_failed", sa.Integer()),
        sa.Column("progress", sa.Text()),
    ]


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def _create_signals() -> None:
    op.create_table(
        "signals",
        sa.Column("id", ID, primary_key=True),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("execution_id", ID),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("correlation", sa.String(128), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sent_by", sa.String(64)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("taken_at", TIME),
        sa.Column("taken_by", ID),
    )
    _partial(
        "ix_signals_untaken",
        "signals",
        ["owner_id", "name", "correlation", "id"],
        "taken_at IS NULL",
    )
    op.create_index("ix_signals_created", "signals", ["created_at"])


def _create_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("execution_id", ID, nullable=False),
        sa.Column("step", sa.Integer()),
        sa.Column("item", sa.Integer()),
        sa.Column("epoch", sa.Integer()),
        sa.Column("body", sa.Text()),
        sa.Column("signal_id", ID),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_index("ix_notices_created", "notices", ["created_at"])
    op.create_index("ix_notices_execution_id", "notices", ["execution_id"])


def _create_cached_results() -> None:
    op.create_table(
        "cached_results",
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("execution_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "key"),
    )
    op.create_index("ix_cached_results_expires_at", "cached_results", ["expires_at"])
