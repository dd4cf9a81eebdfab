"""Whether a sweep could find anything: asked each second, so in one statement and by indexes."""

from __future__ import annotations

from sqlalchemy import Connection, text

from engine.store.tables import DEADLINE, EXPIRING, LIVE_STEP, NARROW, OPEN_EXECUTION

# At least all that the questions of a sweep find, paused executions' rows too: what is missing
# here nobody rescues. Plain text, because SQLite uses a partial index only for its own words.
_OWED = text(
    f"""
    SELECT EXISTS (
        SELECT 1 FROM step_runs WHERE status = 'running' AND worker_id IS NOT NULL
    ) OR EXISTS (
        SELECT 1 FROM step_runs WHERE {LIVE_STEP} AND due_at <= :now
    ) OR EXISTS (
        SELECT 1 FROM step_runs WHERE {LIVE_STEP} AND due_at IS NULL AND reason = 'worker_crashed'
    ) OR EXISTS (
        SELECT 1 FROM step_runs WHERE {EXPIRING}
    ) OR EXISTS (
        SELECT 1 FROM step_runs WHERE {NARROW}
    ) OR EXISTS (
        SELECT 1 FROM executions WHERE {OPEN_EXECUTION} AND due_at <= :now
    ) OR EXISTS (
        SELECT 1 FROM executions WHERE {DEADLINE} AND deadline_at <= :now
    ) OR EXISTS (
        SELECT 1 FROM notices
    )
    """  # noqa: S608  # only conditions of ours
)


def anything_due(connection: Connection, now: int) -> bool:
    """Return whether a row could need rescue at ``now`` (µs); False: certainly none does."""
    return bool(connection.execute(_OWED, {"now": now}).scalar_one())
