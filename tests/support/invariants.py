"""What must hold for any history, whatever was killed meanwhile: `engine doctor`'s judges, and what
only a test knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from engine.core.finding import Finding
from engine.core.invariants import judge
from engine.core.status import EXECUTION_ENDS
from engine.recovery.doctor import Examination, check_slots
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.recovery import snapshots
from tests.support.effects import Effect


def check(
    database: Database,
    *,
    effects: Iterable[Effect] = (),
    all_ended: bool = True,
    max_crashes: int = 3,
) -> None:
    """Raise AssertionError with every breach of an invariant in the database.

    Args:
        database: to read.
        effects: what steps did; each key must belong to one step run, and each step run to one key.
        all_ended: whether every execution must have ended by now.
        max_crashes: the workers' limit.
    """
    faults: list[str] = []
    looked = 0
    for ids in Examination(database, Settings(), sleep=lambda _seconds: None).chunks(None):
        for history in database.snapshot(
            lambda connection, ids=ids: snapshots.load(connection, ids)  # type: ignore[misc]
        ):
            looked += 1
            name = history.definition.name if history.definition else "?"
            found = [_told(finding) for finding in judge(history, max_crashes=max_crashes)]
            if all_ended and history.head.status not in EXECUTION_ENDS:
                found.append(f"status is {history.head.status}: it never ended")
            faults += [f"{history.head.id} ({name}): {fault}" for fault in found]
    faults += _keys(effects)
    faults += [_told(finding) for finding in database.read(check_slots)]
    assert not faults, "\n".join(faults)
    assert looked, "no execution at all: nothing was shown"


def _told(finding: Finding) -> str:
    where = "" if finding.step is None else f" of {(finding.step, finding.item)}"
    return f"{finding.rule}{where}: {finding.what}"


def _keys(effects: Iterable[Effect]) -> Iterator[str]:
    """5: one key per step run, one step run per key."""
    keys: dict[tuple[str, str, int | None], set[str]] = defaultdict(set)
    owners: dict[str, set[tuple[str, str, int | None]]] = defaultdict(set)
    for effect in effects:
        run = (effect.execution, effect.step, effect.item)
        keys[run].add(effect.key)
        owners[effect.key].add(run)
    for names in (keys, owners):
        for name, others in names.items():
            if len(others) != 1:
                yield f"{name} has {sorted(map(str, others))}"
