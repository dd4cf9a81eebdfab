"""What the notices above the list of executions tell. Pure, as ``shapes``."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core.status import Reason
from engine.store.reads import DeadLetterRow
from engine.store.reads.pending_actions import LackRow
from engine.store.reads.summaries import error_line


@dataclass(frozen=True)
class Lack:
    """Code that no worker has, and who waits for it."""

    words: str = ""
    waiting: str = ""
    href: str = ""


def lack(row: LackRow) -> Lack:
    """Return a line of the notice about missing code."""
    waiting = "1 execution waits" if row.executions == 1 else f"{row.executions:,} executions wait"
    return Lack(
        words=f"{row.workflow} version {row.version}, step {row.step}: {row.needs}",
        waiting=waiting,
        href=f"/monitoring?workflow={row.workflow}&lacks=code",
    )


@dataclass(frozen=True)
class Letter:
    """A message that could not be carried out. ``again`` tells what replaying it does."""

    id: str = ""
    execution: str = ""
    short: str = ""
    reason: str = ""
    message: str = ""
    at: int = 0
    again: str = ""


def letter(row: DeadLetterRow) -> Letter:
    """Return a dead letter with its reason in words."""
    crashed = row.reason == Reason.WORKER_CRASHED
    return Letter(
        id=row.id,
        execution=row.execution_id or "",
        short=(row.execution_id or "")[-8:],
        reason="its worker died under it again and again" if crashed else "it could not be planned",
        message=error_line(row.error or {}),
        at=row.created_at,
        again="A new execution starts, linked to the failed one: completed steps keep their "
        "results, the one under which workers died runs again. If it kills its worker once more, "
        "it comes back here."
        if crashed
        else "The execution is planned again from the beginning; none of its steps has run.",
    )
