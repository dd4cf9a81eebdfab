"""What the store tells of an execution, for tests of what pages draw of it."""

from __future__ import annotations

from typing import Any

from engine.store.reads import AttemptRow, ExecutionDetail, ExecutionRow, StepRow

T = 1_700_000_000_000_000
S = 1_000_000


def execution_row(**changed: Any) -> ExecutionRow:
    """Return an execution's row with some of its values changed."""
    values: dict[str, Any] = {
        "id": "1agt1yynhwbzb",
        "workflow_id": "1agt1yynhwbza",
        "workflow": "orders",
        "version": 2,
        "status": "running",
        "reason": None,
        "detail": "validate",
        "trigger": "api",
        "trigger_detail": "token ci",
        "created_at": T,
        "started_at": T + S,
        "finished_at": None,
        "runs_done": 1,
        "runs_total": 4,
        "last_seq": 7,
        "cancel_requested_at": None,
        "origin_id": None,
    }
    return ExecutionRow(**values | changed)


def step_row(**changed: Any) -> StepRow:
    """Return a step's row with some of its values changed."""
    values: dict[str, Any] = {
        "index": 0,
        "name": "validate",
        "uses": "python",
        "status": "completed",
        "reason": None,
        "attempts": 1,
        "crashes": 0,
        "max_attempts": 3,
        "queued_at": T,
        "started_at": T + S,
        "finished_at": T + 3 * S,
        "due_at": None,
        "worker_id": "w",
        "items": None,
        "items_left": None,
        "items_failed": 0,
        "error": None,
        "needs": (),
        "reused_from": None,
        "progress": None,
    }
    return StepRow(**values | changed)


def failed_try(number: int, start: int, end: int) -> AttemptRow:
    """Return a failed try of the step."""
    error = {"type": "ValueError", "message": "no", "trace": "line 1"}
    return AttemptRow("validate", None, number, "failed", "error", "w", start, end, error)


def detail_of(*steps: StepRow, tries: tuple[AttemptRow, ...] = (), **row: Any) -> ExecutionDetail:
    """Return an execution with these steps, and its row with some values changed."""
    error = {"type": "ValueError", "message": "amount must be ≥ 0", "step": "validate"}
    failed = error if row.get("status") == "failed" else None
    return ExecutionDetail(execution_row(**row), {}, None, failed, None, steps, tries, {})
