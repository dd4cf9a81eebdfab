"""What an execution's page reads, whatever it holds: any item and any line of the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.tables import LogLine, StepRun
from engine_app.auth.viewer import Viewer
from engine_app.states import execution_reading, log_pages
from engine_app.states.base import askable
from engine_app.states.execution_reading import Reader
from engine_app.states.execution_windows import LINES, Choice, Page
from engine_app.states.log_pages import Place
from tests.support import rows

ITEMS, LOG_LINES = 2000, 5000
SPECIAL = Choice("clean", 1733)


class House:
    """An execution with many items and lines, and its owner."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = Viewer(rows.user(database, "ada"), "ada")
        workflow = rows.workflow(database, self.owner.id)
        self.execution = rows.execution(database, self.owner.id, workflow)
        rows.run(database, self.execution, 0, "completed")
        rows.run(database, self.execution, 1, "running", items=ITEMS, items_left=ITEMS)
        rows.run(database, self.execution, 2, "pending")

    def add_items(self) -> None:
        key = {"execution_id": self.execution, "step": 1, "queue": "steps"}
        many = [{**key, "item": number, "status": "running"} for number in range(ITEMS)]
        self.database.write(lambda c: c.execute(insert(StepRun), many))

    def add_lines(self) -> None:
        key = {"execution_id": self.execution, "step": 0, "item": -1, "attempt": 1, "at": rows.NOW}
        many = [
            {
                **key,
                "seq": number,
                "level": "error" if number % 1000 == 0 else "info",
                "message": f"Line {number} is {'50%' if number == 2345 else 'plain'}",
            }
            for number in range(1, LOG_LINES + 1)
        ]
        self.database.write(lambda c: c.execute(insert(LogLine), many))

    def change_item(self, number: int, **values: Any) -> None:
        table: Any = StepRun.__table__
        self.database.write(
            lambda c: c.execute(
                table.update()
                .where(table.c.execution_id == self.execution, table.c.item == number)
                .values(**values)
            )
        )

    def log(self, wanted: Page, place: Place) -> tuple[list[Any], Page]:
        """Return the numbers of the lines on a page of the log, and where it is."""
        found, page = self.database.read(
            lambda c: log_pages.read(c, self.owner.id, self.execution, wanted, place)
        )
        return [line[0] for line in found], page


@pytest.fixture
def house(database: Database, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(execution_reading, "database", lambda: database)
    client = SimpleNamespace(settings=Settings())
    monkeypatch.setattr(execution_reading, "client", lambda: client)
    return House(database)


def _picked(house: House, reader: Reader, choice: Choice) -> Any:
    return reader(house.owner, frozenset({choice})).chosen[choice]["picked"]


def test_any_item_of_two_thousand_is_opened_and_shows_what_changes_of_it(house: House) -> None:
    house.add_items()
    reader = Reader(house.execution)
    assert (_picked(house, reader, SPECIAL).item, _picked(house, reader, SPECIAL).status) == (
        1733,
        "running",
    )
    house.change_item(1733, progress='{"done": 40, "total": 100}')
    assert _picked(house, reader, SPECIAL).progress == "40 of 100"
    house.change_item(1733, status="completed", output="7")
    assert _picked(house, reader, SPECIAL).output == "7"


def test_the_items_on_screen_are_those_asked_for_and_all_that_failed_are_found(
    house: House,
) -> None:
    house.add_items()
    for number in range(40, ITEMS, 50):
        house.change_item(number, status="failed", error='{"message": "no"}')
    reader = Reader(house.execution)
    first = _picked(house, reader, Choice("clean"))
    assert [item.number for item in first.members] == list(range(200))
    assert (len(first.failed), first.failed_more) == (20, "and 20 more that failed")
    far = _picked(house, reader, Choice("clean", items_from=1600))
    assert [item.number for item in far.members] == list(range(1600, 1800))
    failed = _picked(house, reader, Choice("clean", items_only="failed", items_from=1000))
    assert [item.number for item in failed.members] == list(range(1040, ITEMS, 50))
    assert {item.message for item in failed.members} == {"no"}


def test_choices_of_several_tabs_are_one_reading(house: House) -> None:
    choices = frozenset({Choice(), Choice("fetch"), Choice("total", find="tot")})
    found: Any = Reader(house.execution)(house.owner, choices).chosen
    assert {choice.step: values["picked"].name for choice, values in found.items()} == {
        "": "clean",
        "fetch": "fetch",
        "total": "total",
    }
    assert found[Choice("total", find="tot")]["bar0"].name == "total"


def test_only_what_is_new_is_read_again_and_nothing_is_lost(house: House) -> None:
    house.add_lines()
    reader = Reader(house.execution)
    lines = reader(house.owner, frozenset()).shared["lines"]
    assert [line[0] for line in lines] == list(range(LOG_LINES - 499, LOG_LINES + 1))
    more = {"execution_id": house.execution, "step": 0, "item": -1, "attempt": 1}
    more |= {"at": rows.NOW, "seq": LOG_LINES + 1, "level": "info", "message": "one more"}
    house.database.write(lambda c: c.execute(insert(LogLine), more))
    again = reader(house.owner, frozenset()).shared["lines"]
    assert [line[0] for line in again] == list(range(LOG_LINES - 498, LOG_LINES + 2))


def test_every_line_of_a_long_log_is_reached_by_number_by_text_and_by_level(house: House) -> None:
    house.add_lines()
    last, page = house.log(Page(), Place())
    assert last == list(range(LOG_LINES - LINES + 1, LOG_LINES + 1))
    assert (page.earlier, page.later) == (True, False)
    before, page = house.log(page, Place(before=page.first))
    assert before[-1] == last[0] - 1
    assert (page.earlier, page.later) == (True, True)
    assert house.log(page, Place(after=page.last))[0] == last
    first, page = house.log(Page(), Place(after=0))
    assert first == list(range(1, LINES + 1))
    assert (page.earlier, page.later, page.told) == (False, True, "250 lines, no. 1 to 250")
    assert house.log(Page(), Place(after=2499))[0][0] == 2500
    assert house.log(Page(text="LINE 2345 is 50%"), Place())[0] == [2345]
    assert house.log(Page(text="50_"), Place())[0] == []
    assert house.log(Page(least="warning"), Place())[0] == [1000, 2000, 3000, 4000, 5000]
    assert house.log(Page(text="none"), Place())[1].told == "no such line"


@pytest.mark.parametrize("typed", ["\0", "50%\0", "%", "_", "\\", "x" * 5_000])
def test_whatever_is_typed_can_be_asked_for(house: House, typed: str) -> None:
    text = askable(typed)
    assert house.log(Page(text=text), Place())[1].on
    choice = Choice(find=text, items_from=ITEMS)
    assert Reader(house.execution)(house.owner, frozenset({choice})).chosen
