"""What is to be told of a schedule, in words: why it does not start, what it has passed over."""

from __future__ import annotations

from engine.core.calendar import COUNTED
from engine.store.reads import ScheduleRow, SkippedRow


def note(row: ScheduleRow) -> str:
    """Return a sentence, or an empty text when all is well."""
    if row.problem is not None:
        return f"does not start: {row.problem}"
    return "" if row.skipped is None else _passed_over(row.skipped, row)


def _passed_over(skipped: SkippedRow, row: ScheduleRow) -> str:
    count = skipped.count
    much = f"over {COUNTED:,}" if count >= COUNTED else f"{count:,}"
    slots = "slot was" if count == 1 else "slots were"
    policy = f"all, at most {row.missed_cap}" if row.missed == "all" else row.missed
    return f"{much} missed {slots} passed over (missed: {policy})"
