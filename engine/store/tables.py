"""The tables. Times are microseconds since 1970 in UTC by the database's clock; ids are text.

Declarative so that alembic and people can read them; the hot path uses ``table(Model)`` with
Core statements and never loads an object.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from engine.core.pending_input import Kind

# Ids sort by time only when they compare byte by byte; a locale's collation would reorder them.
ID = String(13).with_variant(postgresql.VARCHAR(13, collation="C"), "postgresql")
TIME = BigInteger

LIVE_STEP = "status IN ('queued', 'running', 'retrying', 'waiting')"
OPEN_EXECUTION = "status IN ('pending', 'running', 'waiting', 'paused')"
DEADLINE = f"{OPEN_EXECUTION} AND deadline_at IS NOT NULL"
EXPIRING = "status = 'queued' AND expires_in IS NOT NULL"
AWAITING = "status = 'waiting' AND wait_for IS NOT NULL"
LISTENING = (  # for a signal
    f"status = 'waiting' AND wait_for NOT IN ('{Kind.APPROVAL}', '{Kind.CHILD}')"
)
UNKNOWN = "status = 'queued' AND reason = 'unknown_step'"
NARROW = "status = 'running' AND items_held IS NOT NULL"
CRASHED = "status IN ('queued', 'running') AND crashes > 0"
REUSED = "reused_from IS NOT NULL"


def literally(table: str, condition: str) -> TextClause:
    """Return one of the conditions above as it stands, with the table's name before each column.

    SQLite uses a partial index only where its own words stand: a bound value may be any.
    """
    return text(" AND ".join(f"{table}.{part}" for part in condition.split(" AND ")))


class Base(DeclarativeBase):
    """All tables hang here: ``Base.metadata`` is what alembic compares with."""


def table(model: type[Base]) -> Table:
    """Return the model's table, for statements of SQLAlchemy Core."""
    return cast(Table, model.__table__)


class User(Base):
    """A person who may sign in. ``password_hash`` is argon2id, or null until one is set."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(TIME)
    disabled_at: Mapped[int | None] = mapped_column(TIME)


class LoginLink(Base):
    """A link that signs in once. Only the SHA-256 of its secret is kept."""

    __tablename__ = "login_links"
    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[int] = mapped_column(TIME)
    used_at: Mapped[int | None] = mapped_column(TIME)


class Session(Base):
    """A browser's session. Only the SHA-256 of its cookie is kept."""

    __tablename__ = "sessions"
    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[int] = mapped_column(TIME)
    expires_at: Mapped[int] = mapped_column(TIME)


class Token(Base):
    """An API token: shown once, stored as SHA-256; ``hint`` is its first characters."""

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(TIME)
    last_used_at: Mapped[int | None] = mapped_column(TIME)
    revoked_at: Mapped[int | None] = mapped_column(TIME)


class Workflow(Base):
    """A named workflow of one owner. ``shared`` ones (the examples) all may read and run."""

    __tablename__ = "workflows"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(64))
    shared: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    latest_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(TIME)
    archived_at: Mapped[int | None] = mapped_column(TIME)


class WorkflowVersion(Base):
    """An immutable, numbered document. Executions are pinned to one."""

    __tablename__ = "workflow_versions"
    workflow_id: Mapped[str] = mapped_column(
        ID, ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    document: Mapped[str] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(ID)
    created_at: Mapped[int] = mapped_column(TIME)


class Execution(Base):
    """One run of a version."""

    __tablename__ = "executions"
    __table_args__ = (
        Index("ix_executions_owner", "owner_id", "id"),
        Index("ix_executions_owner_workflow", "owner_id", "workflow_id", "id"),
        Index("ix_executions_owner_status", "owner_id", "status", "id"),
        Index(
            "ix_executions_open",
            "due_at",
            sqlite_where=text(OPEN_EXECUTION),
            postgresql_where=text(OPEN_EXECUTION),
        ),
        Index(
            "ix_executions_deadline",
            "deadline_at",
            sqlite_where=text(DEADLINE),
            postgresql_where=text(DEADLINE),
        ),
        Index(
            "ix_executions_parent",
            "parent_id",
            sqlite_where=text("parent_id IS NOT NULL"),
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index(
            "ix_executions_origin",
            "origin_id",
            sqlite_where=text("origin_id IS NOT NULL"),
            postgresql_where=text("origin_id IS NOT NULL"),
        ),
        Index(
            "ix_executions_schedule",
            "schedule_id",
            "id",
            sqlite_where=text("schedule_id IS NOT NULL"),
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
        Index(
            "uq_executions_slot",
            "schedule_id",
            "slot",
            unique=True,
            sqlite_where=text("schedule_id IS NOT NULL"),
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
        Index(
            "uq_executions_idempotency",
            "owner_id",
            "workflow_id",
            "idempotency_key",
            unique=True,
            sqlite_where=text("idempotency_key IS NOT NULL"),
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner_id: Mapped[str] = mapped_column(ID)
    workflow_id: Mapped[str] = mapped_column(ID)
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(32))
    # {"message", "type", "step", "item", "trace"}: the cause, in the words people see first
    error: Mapped[str | None] = mapped_column(Text)
    trigger: Mapped[str] = mapped_column(String(16))
    trigger_detail: Mapped[str | None] = mapped_column(String(128))
    input: Mapped[str] = mapped_column(Text)
    output: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(TIME)
    started_at: Mapped[int | None] = mapped_column(TIME)
    finished_at: Mapped[int | None] = mapped_column(TIME)
    # When someone must look at this row although no message comes: a dispatch that is due, an
    # end that is due. Null: its step runs look after themselves.
    due_at: Mapped[int | None] = mapped_column(TIME)
    # What the execution will end as once its running steps are over: 'failed' or 'cancelled'.
    ending: Mapped[str | None] = mapped_column(String(16))
    # steps | closing | abandoned: whether its compensations and finally steps run by now
    phase: Mapped[str] = mapped_column(String(10), server_default=text("'steps'"))
    # The grace of an end is over: workers interrupt what still runs.
    interrupting: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    # When it fails if it has not ended by then.
    deadline_at: Mapped[int | None] = mapped_column(TIME)
    cancel_requested_at: Mapped[int | None] = mapped_column(TIME)
    cancel_note: Mapped[str | None] = mapped_column(String(256))
    # Counters that change only under this row's lock.
    last_seq: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_log: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    active: Mapped[int] = mapped_column(Integer, server_default=text("0"))  # queued + running
    steps_left: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    runs_total: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    runs_done: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    origin_id: Mapped[str | None] = mapped_column(ID)
    # The step that it was run again from; null: from what had failed.
    rerun_from: Mapped[str | None] = mapped_column(String(64))
    # The step run that started it as a child, under the epoch that this one waits with.
    parent_id: Mapped[str | None] = mapped_column(ID)
    parent_step: Mapped[int | None] = mapped_column(Integer)
    parent_item: Mapped[int | None] = mapped_column(Integer)
    parent_epoch: Mapped[int | None] = mapped_column(Integer)  # null: nobody waits for its end
    leaves_parent: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    depth: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    idempotency_key: Mapped[str | None] = mapped_column(String(128))
    request_hash: Mapped[str | None] = mapped_column(String(64))
    message_id: Mapped[str | None] = mapped_column(String(36))
    schedule_id: Mapped[str | None] = mapped_column(ID)
    slot: Mapped[int | None] = mapped_column(TIME)


class StepRun(Base):
    """A node's row in an execution (``item`` = -1), and one more per item of a ``for_each``."""

    __tablename__ = "step_runs"
    __table_args__ = (
        Index(
            "ix_step_runs_due",
            "due_at",
            sqlite_where=text(LIVE_STEP),
            postgresql_where=text(LIVE_STEP),
        ),
        Index(
            "ix_step_runs_worker",
            "worker_id",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        Index(
            "ix_step_runs_expiring",
            "queued_at",
            sqlite_where=text(EXPIRING),
            postgresql_where=text(EXPIRING),
        ),
        Index(
            "ix_step_runs_awaiting",
            "wait_for",
            sqlite_where=text(AWAITING),
            postgresql_where=text(AWAITING),
        ),
        # Of many that wait for one signal the one that waits longest gets it.
        Index(
            "ix_step_runs_listening",
            "wait_for",
            "started_at",
            sqlite_where=text(LISTENING),
            postgresql_where=text(LISTENING),
        ),
        Index(
            "ix_step_runs_unknown",
            "execution_id",
            sqlite_where=text(UNKNOWN),
            postgresql_where=text(UNKNOWN),
        ),
        Index(
            "ix_step_runs_narrow",
            "started_at",
            sqlite_where=text(NARROW),
            postgresql_where=text(NARROW),
        ),
        # Nearly always empty: rescue asks at each sweep who may crash no more.
        Index(
            "ix_step_runs_crashed",
            "crashes",
            sqlite_where=text(CRASHED),
            postgresql_where=text(CRASHED),
        ),
        Index(
            "ix_step_runs_reused",
            "reused_from",
            sqlite_where=text(REUSED),
            postgresql_where=text(REUSED),
        ),
        # Clustered by execution: one B-tree instead of a table and an index over it.
        {"sqlite_with_rowid": False},
    )
    execution_id: Mapped[str] = mapped_column(
        ID, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(Integer, primary_key=True)
    item: Mapped[int] = mapped_column(Integer, primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(32))
    epoch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))  # failed or running
    crashes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    needs_left: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    needs_ran: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    queue: Mapped[str] = mapped_column(String(16))
    # queued: since when it is due; retrying, waiting: when it is due; running: its deadline
    due_at: Mapped[int | None] = mapped_column(TIME)
    queued_at: Mapped[int | None] = mapped_column(TIME)  # since when this attempt was due
    expires_in: Mapped[int | None] = mapped_column(BigInteger)  # µs it may be queued at most
    # What a waiting one waits for beside its due time, as signal:NAME:CORRELATION.
    wait_for: Mapped[str | None] = mapped_column(String(256))
    # Whether a time that it waited for has come: it stays so when its worker dies, or has not its
    # code, until it waits again or its attempt fails. A sleep would last twice as long otherwise.
    woken: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    worker_id: Mapped[str | None] = mapped_column(String(36))
    started_at: Mapped[int | None] = mapped_column(TIME)
    finished_at: Mapped[int | None] = mapped_column(TIME)
    # A fan-out: how many items, how many have not ended, the next one to queue, how many failed.
    items: Mapped[int | None] = mapped_column(Integer)
    items_left: Mapped[int | None] = mapped_column(Integer)
    items_next: Mapped[int | None] = mapped_column(Integer)
    items_failed: Mapped[int | None] = mapped_column(Integer)
    # How many more of its items may be in flight; null once it is open to its full width.
    items_held: Mapped[int | None] = mapped_column(Integer)
    # {"done", "total", "note"}: what the attempt last said of itself
    progress: Mapped[str | None] = mapped_column(Text)
    value: Mapped[str | None] = mapped_column(Text)  # an item's own value
    input: Mapped[str | None] = mapped_column(Text)
    output: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    reused_from: Mapped[str | None] = mapped_column(ID)


class Attempt(Base):
    """A try that did not complete. The one that did is told by its step run."""

    __tablename__ = "attempts"
    __table_args__ = ({"sqlite_with_rowid": False},)
    execution_id: Mapped[str] = mapped_column(
        ID, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(Integer, primary_key=True)
    item: Mapped[int] = mapped_column(Integer, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(String(16))  # failed | crashed | released | cancelled
    reason: Mapped[str] = mapped_column(String(32))
    worker_id: Mapped[str | None] = mapped_column(String(36))
    started_at: Mapped[int | None] = mapped_column(TIME)
    finished_at: Mapped[int] = mapped_column(TIME)
    error: Mapped[str | None] = mapped_column(Text)


class EventRow(Base):
    """A fact, numbered per execution without gaps."""

    __tablename__ = "events"
    __table_args__ = ({"sqlite_with_rowid": False},)
    execution_id: Mapped[str] = mapped_column(
        ID, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    type: Mapped[str] = mapped_column(String(24))
    step: Mapped[int | None] = mapped_column(Integer)
    item: Mapped[int | None] = mapped_column(Integer)
    attempt: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[int] = mapped_column(TIME)
    data: Mapped[str | None] = mapped_column(Text)


class LogLine(Base):
    """What user code said, numbered per execution; a long log loses lines of its middle."""

    __tablename__ = "logs"
    __table_args__ = ({"sqlite_with_rowid": False},)
    execution_id: Mapped[str] = mapped_column(
        ID, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    step: Mapped[int] = mapped_column(Integer)
    item: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
    at: Mapped[int] = mapped_column(TIME)
    level: Mapped[str] = mapped_column(String(8))
    message: Mapped[str] = mapped_column(Text)


class Worker(Base):
    """A worker process. Dead when its beat is older than the lease."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    queues: Mapped[str] = mapped_column(Text)  # JSON list
    threads: Mapped[int] = mapped_column(Integer)
    functions: Mapped[str] = mapped_column(Text)  # JSON list: the steps whose code it has
    started_at: Mapped[int] = mapped_column(TIME)
    beat_at: Mapped[int] = mapped_column(TIME)
    # JSON {queue: newest due_at of a row it had claimed as of the beat before}
    watermarks: Mapped[str] = mapped_column(Text, server_default=text("'{}'"))
    stopped_at: Mapped[int | None] = mapped_column(TIME)
    end_reason: Mapped[str | None] = mapped_column(Text)  # why it ended, unless it was asked to
    stall: Mapped[str | None] = mapped_column(Text)  # JSON: what its guardian found


class Lease(Base):
    """Who may do a thing that only one should do at a time; ``note`` is theirs to keep."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(36))
    until: Mapped[int] = mapped_column(TIME)
    note: Mapped[str | None] = mapped_column(Text)


class Schedule(Base):
    """When a workflow starts by itself."""

    __tablename__ = "schedules"
    __table_args__ = (Index("ix_schedules_owner", "owner_id", "id"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner_id: Mapped[str] = mapped_column(ID)
    workflow_id: Mapped[str] = mapped_column(ID, ForeignKey("workflows.id", ondelete="CASCADE"))
    version: Mapped[int | None] = mapped_column(Integer)  # null: the newest at each slot
    name: Mapped[str] = mapped_column(String(64))
    cron: Mapped[str] = mapped_column(String(128))
    zone: Mapped[str] = mapped_column(String(64))
    input: Mapped[str] = mapped_column(Text)
    missed: Mapped[str] = mapped_column(String(8))  # skip | latest | all
    missed_cap: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[int | None] = mapped_column(TIME, index=True)
    last_slot: Mapped[int | None] = mapped_column(TIME)
    paused_at: Mapped[int | None] = mapped_column(TIME)
    created_at: Mapped[int] = mapped_column(TIME)
    problem: Mapped[str | None] = mapped_column(Text)  # why it does not start although it is due
    problem_at: Mapped[int | None] = mapped_column(TIME)
    skipped: Mapped[str | None] = mapped_column(Text)  # JSON: slots that it passed over last


class DeadLetter(Base):
    """A message that could not be carried out; replayed by hand."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index("ix_dead_letters_owner", "owner_id", "id"),
        Index("ix_dead_letters_execution", "execution_id"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner_id: Mapped[str | None] = mapped_column(ID)
    execution_id: Mapped[str | None] = mapped_column(ID)
    queue: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(TIME)
    replayed_at: Mapped[int | None] = mapped_column(TIME)


class Artifact(Base):
    """A thing a step made for people: kept inline when small, else in the payload store."""

    __tablename__ = "artifacts"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    execution_id: Mapped[str] = mapped_column(
        ID, ForeignKey("executions.id", ondelete="CASCADE"), index=True
    )
    step: Mapped[int] = mapped_column(Integer)
    item: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(128))
    media_type: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)  # base64, or a reference
    created_at: Mapped[int] = mapped_column(TIME)


class Signal(Base):
    """A word from outside, kept until a step run takes it or nobody wants it any more."""

    __tablename__ = "signals"
    __table_args__ = (
        Index(
            "ix_signals_untaken",
            "owner_id",
            "name",
            "correlation",
            "id",
            sqlite_where=text("taken_at IS NULL"),
            postgresql_where=text("taken_at IS NULL"),
        ),
        Index("ix_signals_created", "created_at"),
        Index(
            "uq_signals_idempotency",
            "owner_id",
            "idempotency_key",
            unique=True,
            sqlite_where=text("idempotency_key IS NOT NULL"),
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner_id: Mapped[str] = mapped_column(ID)
    # The one execution it is meant for; null: whichever of the owner's waits for it.
    execution_id: Mapped[str | None] = mapped_column(ID)
    name: Mapped[str] = mapped_column(String(64))
    correlation: Mapped[str] = mapped_column(String(128))
    body: Mapped[str] = mapped_column(Text)
    sent_by: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(TIME)
    taken_at: Mapped[int | None] = mapped_column(TIME)
    taken_by: Mapped[str | None] = mapped_column(ID)  # the execution
    idempotency_key: Mapped[str | None] = mapped_column(String(128))
    request_hash: Mapped[str | None] = mapped_column(String(64))


class Notice(Base):
    """What one execution has to tell another: carried out after the commit, or by rescue."""

    __tablename__ = "notices"
    __table_args__ = (Index("ix_notices_created", "created_at"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))  # answer | cancel
    execution_id: Mapped[str] = mapped_column(ID, index=True)  # the one it is for
    step: Mapped[int | None] = mapped_column(Integer)
    item: Mapped[int | None] = mapped_column(Integer)
    epoch: Mapped[int | None] = mapped_column(Integer)
    body: Mapped[str | None] = mapped_column(Text)  # JSON
    signal_id: Mapped[str | None] = mapped_column(ID)  # goes back if the answer comes too late
    created_at: Mapped[int] = mapped_column(TIME)


class CachedResult(Base):
    """What a step with a cache gave, for the next one that asks the same."""

    __tablename__ = "cached_results"
    owner_id: Mapped[str] = mapped_column(ID, primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)  # sha256
    output: Mapped[str] = mapped_column(Text)
    execution_id: Mapped[str] = mapped_column(ID)  # where it comes from
    created_at: Mapped[int] = mapped_column(TIME)
    expires_at: Mapped[int] = mapped_column(TIME, index=True)
