"""What an outage leaves behind is taken up again: it is nobody's fault and fails nothing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Unavailable
from engine.store.db.database import Database
from engine.store.writes import step_outputs
from tests.support.house import House
from tests.support.transitions import chain, claimed

HOUR = 3_600_000_000  # µs


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A database that does not answer when an expression asks for a step's output."""

    def of(*_: Any) -> None:
        raise Unavailable("the database did not answer")

    monkeypatch.setattr(step_outputs, "of", of)
    return monkeypatch


def test_a_step_is_not_rejected_while_the_database_is_away(
    house: House, away: pytest.MonkeyPatch
) -> None:
    execution_id = house.start(chain(house))
    [first] = house.plan(execution_id)
    # A worker that stays with nothing: the second step's input has to be read.
    house.write("UPDATE step_runs SET status = 'completed', output = '1' WHERE step = 0")
    house.write("UPDATE step_runs SET status = 'queued', epoch = 1, needs_ran = 1 WHERE step = 1")
    second = house.ticket(execution_id, 1)
    with pytest.raises(Unavailable):
        house.deliver(second)
    assert house.step(execution_id, 1, "status") == ("queued",)
    away.undo()
    house.deliver(second)
    assert house.step(execution_id, 1, "status", "output") == ("completed", "2")
    assert first.step == 0


def test_claims_of_an_outage_longer_than_the_timeout_are_abandoned_not_overdue(
    house: House,
) -> None:
    execution_id, _ = claimed(house, "w1")
    # Nothing ran for three hours: the claim's deadline, of a minute, has long passed.
    house.write("UPDATE step_runs SET due_at = due_at - :ago WHERE step = 0", ago=3 * HOUR)
    house.write("UPDATE workers SET beat_at = beat_at - :ago", ago=4 * HOUR)
    house.rescue.sweep("w2", steady=False)
    assert house.step(execution_id, 0, "status", "reason") == ("running", None)
    house.rescue.sweep("w2", steady=True)
    assert house.step(execution_id, 0, "status", "crashes") == ("queued", 1)
