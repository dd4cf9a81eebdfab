"""Judge the executions of a live database: twice, for on a live one things are in motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.core.finding import Finding, Rule
from engine.core.history import History, World
from engine.core.invariants import judge
from engine.core.liveness_checks import judge_owed
from engine.recovery import SWEEPS
from engine.recovery.redelivery import LEASE
from engine.settings import Settings
from engine.store.db.database import Connection, Database
from engine.store.recovery import liveness, snapshots

PAGE = 1_000  # executions listed at once
ROWS = 20_000  # rows held at once, unless one execution alone has more
AT_ONCE = 200  # executions loaded at once
KEEP = 1_000  # findings kept: those beyond are only counted
MOMENT = 1.0  # seconds between two looks at what is written
ORPHANS = 1_000


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong: findings that two looks agree on."""

    executions: int = 0
    findings: list[Finding] = field(default_factory=list)
    more: int = 0  # findings of the first look that were not looked into again


@dataclass(slots=True)
class Examination:
    """Looks at one database. ``sleep`` waits for so many seconds between the two looks."""

    database: Database
    settings: Settings
    sleep: Callable[[float], None]

    def run(self, *, hours: float | None) -> Report:
        """Return what is wrong with the open executions and those ended in the last ``hours``.

        Args:
            hours: None looks at all there are.
        """
        report = Report()
        since = None if hours is None else self.database.now() - int(hours * 3600e6)
        suspects = [*self._globals()]
        for ids in self.chunks(since):
            report.executions += len(ids)
            for finding in self.look(ids):
                if len(suspects) < KEEP:
                    suspects.append(finding)
                else:
                    report.more += 1
        if suspects:
            self.sleep(self._wait(suspects))
            still = {finding.place for finding in self._again(suspects)}
            report.findings = _distinct(one for one in suspects if one.place in still)
        return report

    def look(self, ids: Sequence[str]) -> list[Finding]:
        """Return what is wrong with the executions ``ids`` at this instant."""
        found, world = self.database.snapshot(
            lambda connection: (snapshots.load(connection, ids), self._world(connection))
        )
        return [finding for history in found for finding in self._judge(history, world)]

    def _judge(self, history: History, world: World) -> Iterator[Finding]:
        written = list(judge(history, max_crashes=self.settings.max_crashes))
        yield from written
        if history.definition is None:
            return
        miscounted = any(finding.rule is Rule.COUNTERS for finding in written)
        for finding in judge_owed(history, world):
            # What is stuck by its counters moves on once these are right.
            if not (miscounted and finding.rule is Rule.STUCK):
                yield finding

    def _world(self, connection: Connection) -> World:
        return snapshots.world(
            connection,
            now=self.database.now(),
            lease=int(self.settings.lease_seconds * 1e6),
            patience=int(patience_of(self.settings) * 1e6),
        )

    def _wait(self, suspects: Iterable[Finding]) -> float:
        moving = any(finding.mark for finding in suspects)
        return patience_of(self.settings) if moving else MOMENT

    def _again(self, suspects: Sequence[Finding]) -> Iterator[Finding]:
        yield from self._globals()
        ids = list(dict.fromkeys(one.execution_id for one in suspects if one.execution_id))
        # One by one: what is wrong is rarely much, and each may be large.
        for execution_id in ids:
            yield from self.look([execution_id])

    def chunks(self, since: int | None) -> Iterator[list[str]]:
        """Yield the ids of executions to load at once: open, or ended since (µs), or all."""
        after = ""
        while True:
            page = self.database.read(
                lambda connection, after=after: snapshots.listed(  # type: ignore[misc]
                    connection, after, since, PAGE
                )
            )
            yield from _portions(page)
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _globals(self) -> list[Finding]:
        """Return what is wrong with none of the executions in particular."""
        now = self.database.now()
        world, until, any_open, orphans, faulty = self.database.read(
            lambda connection: (
                self._world(connection),
                snapshots.lease_until(connection, LEASE),
                snapshots.any_open(connection),
                snapshots.orphan_notices(connection, ORPHANS),
                liveness.faulty(connection),
            )
        )
        found = self.database.read(check_slots)
        found += [
            Finding(Rule.ORPHAN_NOTICE, f"notice {notice} for execution {of}", None, mark=notice)
            for notice, of in orphans
        ]
        found += [Finding(Rule.LEFT_ALONE, why, of) for of, why in faulty.why.items()]
        if any_open and not world.alive:
            what = "executions are open and no worker is alive"
            found.append(Finding(Rule.NO_WORKER, what, mark="workers"))
        if any_open and until + world.patience < now:
            what = "nobody has swept" + (f" for {(now - until) / 1e6:.0f} s" if until else " yet")
            found.append(Finding(Rule.NOBODY_SWEEPS, what, mark="sweep"))
        return found


def _distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out that rescue cannot look after what nobody can read: that is told already."""
    found = list(findings)
    unreadable = {one.execution_id for one in found if one.rule is Rule.UNREADABLE}
    return [
        one for one in found if not (one.rule is Rule.LEFT_ALONE and one.execution_id in unreadable)
    ]


def check_slots(connection: Connection) -> list[Finding]:
    """Return each slot of a schedule that started more than one execution."""
    return [
        Finding(Rule.SLOT_TWICE, f"schedule {schedule} fired {times} × for slot {slot}")
        for schedule, slot, times in snapshots.slots_twice(connection)
    ]


def patience_of(settings: Settings) -> float:
    """Return the seconds within which rescue has done what it can do.

    That is when a worker is known to be dead, and another has taken over the sweeping from it.
    """
    return settings.lease_seconds + SWEEPS * settings.sweep_seconds


def _portions(page: Iterable[snapshots.Listed]) -> Iterator[list[str]]:
    ids: list[str] = []
    rows = 0
    for one in page:
        if ids and (rows + one.rows > ROWS or len(ids) == AT_ONCE):
            yield ids
            ids, rows = [], 0
        ids.append(one.id)
        rows += one.rows
    if ids:
        yield ids
