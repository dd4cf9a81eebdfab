"""All of an execution in one download, however much it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert

from engine.store.tables import LogLine, StepRun
from tests.support import rows
from tests.support.web import Web, problem, web

ITEMS, LINES = 450, 1201  # more than two readings of each


@pytest.fixture
def house(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url) as opened:
        yield opened


@pytest.fixture
def execution(house: Web) -> str:
    """An execution with many items and lines."""
    workflow = rows.workflow(house.database, house.owner_id)
    found = rows.execution(house.database, house.owner_id, workflow)
    rows.run(house.database, found, 0, "completed", output="1")
    rows.run(house.database, found, 1, "running", items=ITEMS, items_left=3)
    rows.run(house.database, found, 2, "pending")
    item = {"execution_id": found, "step": 1, "queue": "steps", "status": "completed"}
    items = [{**item, "item": number} for number in range(ITEMS)]
    line = {"execution_id": found, "step": 1, "attempt": 1, "at": rows.NOW, "level": "info"}
    lines = [
        {**line, "seq": number, "item": number % ITEMS, "message": f"line {number}"}
        for number in range(1, LINES + 1)
    ]
    house.database.write(lambda c: c.execute(insert(StepRun), items))
    house.database.write(lambda c: c.execute(insert(LogLine), lines))
    return found


def test_the_record_has_every_step_item_and_line(house: Web, execution: str) -> None:
    answer = house.program().get(f"/api/executions/{execution}/record")
    assert answer.headers["content-type"] == "application/x-ndjson"
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert Counter(one["kind"] for one in told) == {
        "execution": 1,
        "step": 3,
        "item": ITEMS,
        "log": LINES,
    }
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for one in told:
        by_kind.setdefault(one["kind"], []).append(one)
    assert by_kind["execution"][0]["row"]["id"] == execution
    assert [step["name"] for step in by_kind["step"]] == ["fetch", "clean", "total"]
    assert by_kind["step"][0]["output"] == 1
    assert [item["item"] for item in by_kind["item"]] == list(range(ITEMS))
    assert [line["seq"] for line in by_kind["log"]] == list(range(1, LINES + 1))


def test_the_log_is_text_with_all_its_lines(house: Web, execution: str) -> None:
    answer = house.program().get(f"/api/executions/{execution}/logs/text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert len(lines) == LINES
    assert lines[0] == "2027-01-15T08:00:00.000000Z info     clean[1] line 1"
    only = house.program().get(f"/api/executions/{execution}/logs/text?step=fetch")
    assert (only.status_code, only.text) == (200, "")


@pytest.mark.parametrize("path", ["record", "logs/text", "logs/text?step=none"])
def test_what_is_not_there_is_told_and_no_half_download(
    house: Web, execution: str, path: str
) -> None:
    stranger = house.program(house.stranger_id)
    problem(stranger.get(f"/api/executions/{execution}/{path}"), 404, "not_found")
    if "none" in path:
        problem(house.program().get(f"/api/executions/{execution}/{path}"), 404, "not_found")
