"""Large values, progress and artifacts as people get them, on both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import context
from engine.errors import InvalidQuery, NotFound, PayloadLost
from engine.io.payloads import HEAD, reference
from engine.steps.attempt_log import AttemptLog, Progress
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import downloads
from engine.store.writes import users
from engine.worker.claim_registry import Claim
from engine.worker.commit_retry import flush_lines
from tests.support.house import House, python
from tests.support.transitions import claimed

SIZE = 300_000  # characters: over the inline limit


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def big(letter: str = "a") -> str:
    return letter * SIZE


def same(value: Any) -> Any:
    return value


def step_of(house: House, run: str, step: str, item: int | None = None) -> reads.StepDetail:
    return house.database.read(lambda c: reads.step(c, house.owner_id, run, step, item))


def execution_of(house: House, run: str) -> reads.ExecutionDetail:
    now = house.database.now()
    return house.database.read(lambda c: reads.execution(c, house.owner_id, run, now=now))


def fetched(house: House, run: str, step: str, kind: str = "output", **which: Any) -> Any:
    found = downloads.step_value(house.database, house.owner_id, run, step, kind=kind, **which)
    return json.loads(b"".join(found))


def fan_out(house: House, items: list[Any]) -> str:
    steps = {"each": {**python(same, value="${{ item }}"), "for_each": items}}
    return house.run(house.publish("fan", steps))


# --- values ------------------------------------------------------------------------------------


def test_a_view_tells_how_a_large_value_begins_and_a_download_gives_it(house: House) -> None:
    steps = {"load": python(big), "next": python(same, value="${{ steps.load.output }}")}
    run = house.run(house.publish("w", steps))
    told = step_of(house, run, "next")
    assert (told.input, told.output) == (None, None)
    assert set(told.large) == {"input", "output"}
    assert told.large["output"] == reads.Large(SIZE + 2, '"' + "a" * (HEAD - 1))
    assert fetched(house, run, "next") == big()
    assert fetched(house, run, "next", "input")["value"] == big()
    whole = execution_of(house, run)
    assert whole.output is None
    assert whole.large["output"].size == SIZE + 2
    parts = downloads.execution_output(house.database, house.owner_id, run)
    assert json.loads(b"".join(parts)) == big()


def test_small_values_are_shown_whole_and_are_downloads_too(house: House) -> None:
    run = house.run(house.publish("w", {"one": python(same, value=[1, "é", None])}))
    told = step_of(house, run, "one")
    assert (told.output, told.large) == ([1, "é", None], {})
    assert fetched(house, run, "one") == [1, "é", None]


@pytest.mark.parametrize("count", [0, 1, 64, 130])
def test_a_list_of_items_is_put_together_from_all_of_them(house: House, count: int) -> None:
    run = fan_out(house, list(range(count)))
    wanted = list(range(count))
    assert step_of(house, run, "each").output == wanted
    assert fetched(house, run, "each") == wanted
    parts = downloads.execution_output(house.database, house.owner_id, run)
    assert json.loads(b"".join(parts)) == execution_of(house, run).output == wanted


def test_a_list_with_large_items_is_shown_in_part_and_comes_in_parts(house: House) -> None:
    steps = {
        "each": {
            **python(same, value="${{ item }}"),
            "for_each": ["${{ input.a }}", 1, "${{ input.a }}"],
        }
    }
    run = house.run(house.publish("fan", steps), {"a": big()})
    told = step_of(house, run, "each")
    assert told.output is None
    assert told.large["output"].size is None
    assert told.large["output"].preview.startswith('["aaa')
    assert fetched(house, run, "each") == [big(), 1, big()]
    found = downloads.step_value(house.database, house.owner_id, run, "each", kind="output")
    assert max(len(part) for part in found) < 2 * SIZE
    assert set(step_of(house, run, "each", 0).large) == {"input", "output", "value"}
    assert fetched(house, run, "each", "value", item=0) == big()
    assert fetched(house, run, "each", item=1) == 1


def test_many_small_items_that_are_large_together_are_shown_in_part(house: House) -> None:
    run = fan_out(house, [1] * 12)
    house.write("UPDATE step_runs SET output = :long WHERE item >= 0", long=f'"{"x" * 100_000}"')
    told = step_of(house, run, "each")
    assert told.output is None
    assert len(told.large["output"].preview) == HEAD
    assert [len(text) for text in fetched(house, run, "each")] == [100_000] * 12


def test_a_fan_out_that_was_skipped_has_no_list(house: House) -> None:
    each = {**python(same, value="${{ item }}"), "for_each": [1], "when": "${{ false }}"}
    run = house.run(house.publish("w", {"each": each}))
    assert step_of(house, run, "each").output is None
    assert execution_of(house, run).output is None
    with pytest.raises(NotFound):
        fetched(house, run, "each")
    with pytest.raises(NotFound):
        next(downloads.execution_output(house.database, house.owner_id, run))


def test_an_item_that_is_lost_is_told_before_anything_wrong_is_given(
    house: House, tmp_path: Path
) -> None:
    steps = {
        "each": {**python(same, value="${{ item }}"), "for_each": [1, "${{ input.a }}"]},
    }
    run = house.run(house.publish("fan", steps), {"a": big()})
    found = reference(house.step(run, 0, "output", item=1)[0])
    assert found is not None
    (tmp_path / "payloads" / found.key).write_bytes(b"rotten")
    parts = downloads.step_value(house.database, house.owner_id, run, "each", kind="output")
    assert next(parts) == b"[1"
    with pytest.raises(PayloadLost, match="each"):
        next(parts)


def test_what_is_not_there_or_not_yours_is_not_found(house: House) -> None:
    now = house.database.now()
    stranger = house.database.write(lambda c: users.add(c, "stranger", now))
    run = house.start(house.publish("w", {"one": python(same, value=1)}))
    house.plan(run)
    for owner, execution, step, item in (
        (stranger, run, "one", None),
        (house.owner_id, "0" * 13, "one", None),
        (house.owner_id, run, "two", None),
        (house.owner_id, run, "one", 0),
        (house.owner_id, run, "one", None),
    ):
        with pytest.raises(NotFound):
            downloads.step_value(house.database, owner, execution, step, kind="output", item=item)
    for owner in (stranger, house.owner_id):
        with pytest.raises(NotFound):
            downloads.execution_output(house.database, owner, run)
    with pytest.raises(InvalidQuery):
        downloads.step_value(house.database, house.owner_id, run, "one", kind="error")


# --- progress ----------------------------------------------------------------------------------


def working(house: House) -> tuple[str, Claim]:
    run, key = claimed(house)
    return run, Claim(key, 1, 1, AttemptLog())


def progress_of(house: House, run: str) -> Any:
    shown = step_of(house, run, "s0").row.progress
    assert shown == execution_of(house, run).steps[0].progress
    return shown


def test_the_pulse_writes_the_latest_progress_and_no_event(house: House) -> None:
    run, claim = working(house)
    before = house.events(run)
    assert progress_of(house, run) is None
    for number in (1, 2, 3):
        claim.log.report(Progress(number, 10, "pages"))
    assert flush_lines(house.database, claim) is not None
    assert progress_of(house, run) == {"done": 3, "total": 10, "note": "pages"}
    assert flush_lines(house.database, claim) is None
    assert house.events(run) == before


def test_an_attempt_whose_claim_was_taken_away_is_not_heard(house: House) -> None:
    run, claim = working(house)
    claim.log.report(Progress(9, 10))
    claim.epoch = 0
    flush_lines(house.database, claim)
    assert progress_of(house, run) is None


def test_the_last_word_is_kept_when_the_attempt_ends_and_goes_with_the_next(house: House) -> None:
    seen: list[Any] = []

    def work() -> int:
        seen.append(house.step(run, 0, "progress")[0])
        if len(seen) == 1:
            context.progress(1, 2, "half")
            raise ValueError("half way")
        return 1

    again = {**python(work), "retry": {"attempts": 2, "backoff": "1s"}}
    run = house.start(house.publish("w", {"s0": again}))
    [first] = house.plan(run)
    [(second, _delay)] = house.deliver(first).later
    assert progress_of(house, run) == {"done": 1, "total": 2, "note": "half"}
    house.write("UPDATE step_runs SET due_at = 0")
    house.deliver(second)
    assert seen == [None, None]
    assert progress_of(house, run) is None


# --- artifacts ---------------------------------------------------------------------------------


def test_artifacts_of_each_kind_come_back_as_they_were_made(house: House) -> None:
    large = b"\x00\xff" * 200_000

    def make() -> None:
        context.markdown("report", "# <b>")
        context.table("rows", [{"a": 1}])
        context.link("source", "https://example.org")
        context.image("dot.gif", b"GIF89a", "image/gif")
        context.artifact("large.bin", large, "application/octet-stream")

    run = house.run(house.publish("w", {"make": python(make)}))
    listed = house.database.read(lambda c: reads.artifacts(c, house.owner_id, run))
    assert [(row.name, row.kind) for row in listed] == [
        ("report", "markdown"),
        ("rows", "table"),
        ("source", "link"),
        ("dot.gif", "image"),
        ("large.bin", "file"),
    ]
    assert listed[-1].size == len(large)
    [column] = house.query("SELECT body FROM artifacts WHERE name = 'large.bin'")[0]
    assert reference(column) is not None
    bodies = [
        downloads.artifact(house.database, house.owner_id, run, row.id).body for row in listed
    ]
    assert bodies[0] == b"# <b>"
    assert bodies[-1] == large
    drawn = house.database.read(
        lambda c: reads.artifact_bodies(c, house.owner_id, run, [row.id for row in listed])
    )
    assert set(drawn) == {row.id for row in listed[:-1]}
    assert drawn[listed[0].id] == b"# <b>"
