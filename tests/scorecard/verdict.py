"""What a run comes to: counted from the database, the effects sink and the client's log."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.codec import decode
from tests.scorecard.drill import ENDS, Drill, Wanted
from tests.support import invariants


@dataclass
class Verdict:
    """The counts of one run; see ``docs/reliability.md`` for what each means."""

    seed: int
    seconds: float = 0
    in_flight: int = 0
    accepted: int = 0
    succeeded: int = 0
    lost: int = 0
    duplicated_effects: int = 0
    doubled_completions: int = 0
    stale_accepted: int = 0
    stuck: int = 0
    wrong_end: int = 0
    recoveries: list[float] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    weak: str = ""
    notes: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)  # of the workers, when the run is red

    @property
    def red(self) -> bool:
        """Whether a promise was broken, or the run shows nothing."""
        counts = (self.lost, self.doubled_completions, self.stale_accepted)
        return any((*counts, self.stuck, self.wrong_end, self.breaches, self.weak))

    def asdict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "recoveries": [round(value, 3) for value in self.recoveries]}


def judge(drill: Drill, verdict: Verdict, *, least: int, max_crashes: int) -> None:
    """Fill in ``verdict`` from what ``drill`` left behind.

    Args:
        drill: whose work is over.
        verdict: to be filled.
        least: executions that must have ended as wanted, or the run shows nothing.
        max_crashes: the workers' limit.
    """
    fleet = drill.fleet
    verdict.accepted = len(drill.accepted)
    verdict.in_flight = sum(len(strike.in_flight) for strike in drill.strikes)
    verdict.stuck = drill.stuck
    verdict.recoveries = drill.recoveries
    verdict.notes = [*drill.broken, *drill.notes]
    verdict.wrong_end = len(drill.broken)
    ends = {row[0]: row for row in fleet.query("SELECT id, status, output FROM executions")}
    reasons = _reasons(drill)
    for execution_id, wanted in drill.accepted.items():
        row = ends.get(execution_id)
        if row is None or row[1] not in ENDS:
            verdict.lost += 1
        elif fault := _differs(drill, wanted, row, reasons.get(execution_id)):
            verdict.wrong_end += 1
            verdict.notes.append(f"{execution_id} {fault}"[:500])
        else:
            verdict.succeeded += 1
    times = Counter(effect.key for effect in fleet.effects("effect"))
    verdict.duplicated_effects = sum(count - 1 for count in times.values())
    verdict.doubled_completions = _doubled(drill)
    verdict.stale_accepted = _stale(drill)
    try:
        everything_ended = not verdict.lost
        invariants.check(
            fleet.database,
            effects=fleet.effects(),
            all_ended=everything_ended,
            max_crashes=max_crashes,
        )
    except AssertionError as error:
        verdict.breaches = str(error)[:4000].splitlines()
    if not drill.strikes:
        verdict.weak = "the fault never struck"
    elif verdict.succeeded < least and not verdict.weak:
        verdict.weak = f"{verdict.succeeded} executions ended as wanted, {least} are the least"


def _differs(drill: Drill, wanted: Wanted, row: tuple[Any, ...], reason: str | None) -> str:
    """Return how an end differs from the one that is right, or an empty text."""
    _, status, output = row
    if status not in wanted.statuses:
        return f"is {status} ({reason}), not {' or '.join(wanted.statuses)}"
    if status == "completed" and wanted.output is not None:
        stored = drill.fleet.database.payloads
        found = None if output is None else decode(stored.read(output, "output"))
        return "" if found == wanted.output else f"gave {found!r}, not {wanted.output!r}"
    if status == "failed" and wanted.reason is not None and reason != wanted.reason:
        return f"failed for {reason}, not for {wanted.reason}"
    return ""


def _reasons(drill: Drill) -> dict[str, str | None]:
    sql = "SELECT execution_id, reason FROM step_runs WHERE status = 'failed'"
    return {row[0]: row[1] for row in drill.fleet.query(sql)}


def _doubled(drill: Drill) -> int:
    """Count completions of the same step run, or ends of the same execution, beyond the first."""
    sql = (
        "SELECT execution_id, coalesce(step, -1), coalesce(item, -1), count(*) FROM events"
        " WHERE type IN ('step_completed', 'completed', 'failed', 'cancelled')"
        " GROUP BY execution_id, coalesce(step, -1), coalesce(item, -1) HAVING count(*) > 1"
    )
    return sum(row[3] - 1 for row in drill.fleet.query(sql))


def _stale(drill: Drill) -> int:
    """Count kept results that were made under another epoch than the one their row holds."""
    sql = "SELECT epoch, output FROM step_runs WHERE status = 'completed' AND output IS NOT NULL"
    stale = 0
    for epoch, text in drill.fleet.query(sql):
        output = decode(drill.fleet.database.payloads.read(text, "output"))
        made = output.get("epoch") if isinstance(output, dict) else None
        stale += made is not None and made != epoch
    return stale
