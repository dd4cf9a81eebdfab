"""When the throughput is back after an outage.

Counted is new work only, executions that began after the heal: work that was held up ends in a
burst once it can, which says how much waited and not that new work is served again.
"""

from __future__ import annotations

from collections.abc import Sequence

BASE = 4.0  # seconds before a fault whose throughput is the one to come back to
WINDOW = 2.0  # seconds for which it must hold
SHARE = 0.9  # of the throughput before


def rate(ends: Sequence[float], *, until: float) -> float:
    """Return how many of ``ends`` (times in seconds) there were a second just before ``until``."""
    return sum(until - BASE <= end < until for end in ends) / BASE


def back(ends: Sequence[float], *, before: float) -> float | None:
    """Return when the first two seconds begin that have nine tenths of the ends ``before`` had.

    Args:
        ends: times in seconds at which executions completed that began after the heal.
        before: completions a second before the fault.
    """
    wanted = SHARE * before * WINDOW
    for at in sorted(ends):
        if sum(at <= end < at + WINDOW for end in ends) >= wanted:
            return at
    return None
