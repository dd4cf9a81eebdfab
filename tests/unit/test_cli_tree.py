"""An execution as a tree: of more steps than a terminal is high, those that tell most."""

from __future__ import annotations

from engine_app.cli.tree import telling
from tests.support.readings import step_row


def test_of_three_hundred_steps_those_that_failed_or_run_are_shown_in_their_places() -> None:
    steps = [step_row(name=f"s{number}", index=number) for number in range(300)]
    steps[233] = step_row(name="s233", index=233, status="failed")
    steps[250] = step_row(name="s250", index=250, status="running")
    told = telling(steps)
    assert [step.name for step in told] == [*(f"s{n}" for n in range(38)), "s233", "s250"]


def test_more_that_failed_than_there_is_room_for_are_the_first_of_them() -> None:
    steps = [step_row(name=f"s{number}", index=number, status="failed") for number in range(300)]
    assert [step.index for step in telling(steps)] == list(range(40))
