"""A step that says more than is kept: its beginning and its end are there, and what went wrong."""

from __future__ import annotations

import logging

import pytest

from engine.core.transitions import RunKey
from engine.steps import capture
from engine.steps.attempt_log import END_EVERY, AttemptLog
from engine.store.db.database import Database
from engine.worker.claim_registry import Claim
from engine.worker.commit_retry import flush_lines
from tests.support.house import House, python
from tests.support.transitions import claimed


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def chatty() -> None:
    for number in range(5_000):
        print(number)
        if number == 3_000:
            logging.getLogger("shop").error("the one that matters")
    print("x" * 1_000_000)
    print("the end")


def said(house: House, run: str) -> list[str]:
    rows = house.query("SELECT message FROM logs WHERE execution_id = :id ORDER BY seq", id=run)
    return [message for (message,) in rows]


def test_a_long_log_keeps_both_ends_its_errors_and_what_follows_a_huge_line(house: House) -> None:
    capture.install()
    run = house.run(house.publish("w", {"it": python(chatty)}))
    lines = said(house, run)
    assert lines[:1_000] == [str(number) for number in range(1_000)]
    assert "the one that matters" in lines
    assert lines[-1] == "the end"
    assert len(lines[-2]) < 20_000
    assert "3,002 lines before the last 1,000 are left out" in lines
    assert "4999" in lines
    assert "2000" not in lines


def test_while_it_runs_the_end_is_written_anew_and_no_invariant_breaks(house: House) -> None:
    clock = [1]
    run, key = claimed(house)
    claim = Claim(key, 1, 1, AttemptLog(clock=lambda: clock[0]))
    for number in range(4_000):
        claim.log.add("info", str(number))
        if number % 500 == 499:
            clock[0] += END_EVERY
            flush_lines(house.database, claim)
    lines = said(house, run)
    assert lines[:1_000] == [str(number) for number in range(1_000)]
    assert lines[-1_000:] == [str(number) for number in range(3_000, 4_000)]
    assert len(lines) == 2_001
    assert house.execution(run, "last_log") == (4_001,)


def test_the_lines_of_another_attempt_of_the_same_execution_stay(house: House) -> None:
    clock = [1]
    run, key = claimed(house)
    claims = [
        Claim(RunKey(run, key.step, item), 1, 1, AttemptLog(clock=lambda: clock[0]))
        for item in (0, 1)
    ]
    for number in range(6_000):
        claims[number % 2].log.add("info", str(number))
        if number % 1_000 == 999:
            clock[0] += END_EVERY
            for claim in claims:
                flush_lines(house.database, claim)
    lines = [int(line) for line in said(house, run) if line.isdigit()]
    for parity in (0, 1):
        mine = [number for number in lines if number % 2 == parity]
        assert mine == [*range(parity, 2_000, 2), *range(4_000 + parity, 6_000, 2)]
