"""The examples do what they say; the weather's numbers are computed a second way."""

from __future__ import annotations

import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import examples
from engine import registry
from engine.definition import check_input, parse
from engine.io.artifacts import kind_of
from engine.steps.attempt_log import Progress
from engine.steps.context import Context, entered
from engine.testing import Harness
from examples import artifacts, crash_drill, fan_out, flaky, quote, weather

DATA = Path(examples.__file__).parent / "data"


def attempt_of(number: int = 1, key: str = "key") -> Context:
    return Context(execution_id="e", workflow="w", step="s", idempotency_key=key, attempt=number)


def run_weather(**given: Any) -> tuple[dict[str, Any], Context]:
    """Run the example's functions as the graph says, without an engine."""
    chosen = check_input(weather.weather.definition, given)
    context = attempt_of()
    with entered(context):
        checked = weather.validate.fn(weather.read.fn(), chosen["from_year"], chosen["to_year"])
        years = [weather.summarise.fn(year, chosen["hot"]) for year in checked["years"]]
        return weather.report.fn(years, checked["bad"]), context


def columns_by_year() -> dict[int, dict[str, list[str]]]:
    """Read the file without the csv module, by columns instead of rows."""
    lines = (DATA / "seattle-weather.csv").read_text().strip().splitlines()
    names = lines[0].split(",")
    found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in lines[1:]:
        for name, text in zip(names, line.split(","), strict=True):
            found[int(line[:4])][name].append(text)
    return found


def test_the_weather_report_agrees_with_an_independent_computation() -> None:
    result, _ = run_weather()
    known = columns_by_year()
    assert [year["year"] for year in result["years"]] == sorted(known) == [2012, 2013, 2014, 2015]
    assert result["days"] == 1461
    assert result["bad_rows"] == []
    for year in result["years"]:
        columns = known[year["year"]]
        highs = list(map(float, columns["temp_max"]))
        lows = list(map(float, columns["temp_min"]))
        rain = list(map(float, columns["precipitation"]))
        assert year["days"] == len(highs)
        assert year["mean_temp_max"] == pytest.approx(statistics.fmean(highs), abs=0.005001)
        assert year["mean_temp_min"] == pytest.approx(statistics.fmean(lows), abs=0.005001)
        wind = map(float, columns["wind"])
        assert year["mean_wind"] == pytest.approx(statistics.fmean(wind), abs=0.005001)
        assert year["precipitation_mm"] == pytest.approx(sum(rain), abs=0.0501)
        assert year["wet_days"] == len([value for value in rain if value >= 1])
        assert year["hot_days"] == len([value for value in highs if value >= 25])
        assert year["hottest"]["temp_max"] == max(highs)
        at = columns["date"].index(year["hottest"]["date"].replace("-", "/"))
        assert highs[at] == max(highs)
        assert year["coldest"]["temp_min"] == min(lows)
        assert year["weather"] == {
            kind: columns["weather"].count(kind) for kind in sorted(set(columns["weather"]))
        }
        july = [
            value for value, day in zip(highs, columns["date"], strict=True) if day[5:7] == "07"
        ]
        assert year["months"][6]["mean_temp_max"] == pytest.approx(
            statistics.fmean(july), abs=0.005001
        )
    warmest = max(known, key=lambda year: statistics.fmean(map(float, known[year]["temp_max"])))
    assert result["warmest_year"] == warmest
    wettest = max(known, key=lambda year: sum(map(float, known[year]["precipitation"])))
    assert result["wettest_year"] == wettest


def test_the_weather_keeps_a_chart_and_the_report() -> None:
    result, context = run_weather(from_year=2013, to_year=2014)
    kept = {artifact.name: artifact for artifact in context.artifacts}
    assert list(kept) == ["temperatures.svg", "report.json"]
    assert json.loads(kept["report.json"].body) == result
    picture = ET.fromstring(kept["temperatures.svg"].body)
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len((line.get("points") or "").split()) for line in lines] == [12, 12]


def test_bad_rows_are_collected_with_their_lines_and_reasons() -> None:
    good = ["2012/01/01", "0.0", "12.8", "5.0", "4.7", "drizzle"]
    rows = [
        good,
        good,
        ["2012/01/02", "x", "1", "0", "1", "rain"],
        ["2012/01/02", "0", "nan", "0", "1", "rain"],
        ["2012/02/30", "0", "1", "0", "1", "rain"],
        ["2012/01/03", "0", "1", "2", "1", "rain"],
        ["2012/01/04", "-1", "1", "0", "1", "rain"],
        ["2012/01/05", "0", "1", "0", "1", "hail"],
        ["2012/01/06", "0"],
        ["2012/01/07", "1.0", "3", "1", "1", "rain"],
    ]
    columns = ["date", "precipitation", "temp_max", "temp_min", "wind", "weather"]
    context = attempt_of()
    with entered(context):
        checked = weather.validate.fn({"columns": columns, "rows": rows}, 2012, 2013)
    days = [day["date"] for day in checked["years"][0]["days"]]
    assert days == ["2012-01-01", "2012-01-07"]
    assert checked["years"][1] == {"year": 2013, "days": []}
    assert [bad["line"] for bad in checked["bad"]] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert checked["bad"][0]["reason"] == "2012-01-01 is there twice"
    assert all(bad["row"] in rows and bad["reason"] for bad in checked["bad"])
    assert weather.summarise.fn({"year": 2013, "days": []}, 25) == {"year": 2013, "days": 0}


def test_years_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match="from_year 2015 is after to_year 2012"):
        run_weather(from_year=2015, to_year=2012)


def test_every_example_has_what_a_form_needs_and_runs_on_nothing() -> None:
    names = {
        *("weather", "flaky", "fan-out", "crash-drill", "release", "trip", "order", "parcel"),
        *("isolated", "artifacts", "quote"),
    }
    found = {item.name: item for item in registry.workflows() if item.name in names}
    assert found.keys() == names
    for definition in found.values():
        assert parse(definition.document) == definition
        assert definition.title != definition.name
        assert definition.description
        assert check_input(definition, {})
        for prop in definition.input_schema["properties"].values():
            assert prop["title"]
            assert "default" in prop
            if prop["type"] == "integer":
                assert prop["minimum"] < prop["maximum"]


def test_the_primes_are_counted_shown_in_every_way_and_told_as_they_come() -> None:
    context = attempt_of()
    with entered(context):
        blocks = artifacts.count_primes.fn(1_000, 0)
        assert artifacts.show.fn(blocks) == 168
    assert context.lines.take().progress == Progress(20, 20)
    kept = {made.name: made for made in context.artifacts}
    assert {name: kind_of(made.media_type) for name, made in kept.items()} == {
        "report": "markdown",
        "stretches": "table",
        "stretches.png": "image",
        "more": "link",
        "stretches.csv": "file",
    }
    picture = kept["stretches.png"].body
    assert struct.unpack(">II", picture[16:24]) == (320, 120)
    assert kept["stretches.csv"].body.splitlines()[1] == b"1,50,15"
    assert json.loads(kept["stretches"].body)["rows"][0] == {"from": 1, "to": 50, "primes": 15}


def test_flaky_fails_twice_and_then_works() -> None:
    policy = flaky.flaky.definition.steps[0].retry
    assert (policy.attempts, policy.backoff) == (5, 1.0)
    for number in (1, 2):
        with entered(attempt_of(number)), pytest.raises(ConnectionError):
            flaky.call_unsteady_service.fn(2)
    with entered(attempt_of(3)):
        answer = flaky.call_unsteady_service.fn(2)
    assert flaky.confirm.fn(answer) == "it worked at attempt 3"


def test_fan_out_has_two_hundred_items_and_a_join() -> None:
    definition = fan_out.fan_out.definition
    assert check_input(definition, {})["items"] == 200
    assert definition.step("square").for_each is not None
    numbers = fan_out.list_numbers.fn(200)
    squares = [fan_out.square.fn(number, 0) for number in numbers]
    assert fan_out.add_up.fn(squares) == {"items": 200, "sum": 200 * 201 * 401 // 6}


def test_a_quote_keeps_its_rate_rests_and_refuses_what_costs_too_much() -> None:
    with Harness() as harness:
        first = harness.run(quote.quote, amount=100)
        again = harness.run(quote.quote, amount=100)
        assert first.status == again.status == "completed"
        assert first.output == again.output
        assert (first.step("rate").reason, again.step("rate").reason) == (None, "cached")
        refused = harness.run(quote.quote, amount=100_000)
        assert (refused.status, refused.step("refuse").status) == ("failed", "failed")
        harness.clock.advance("2m")
        assert harness.run(quote.quote, amount=100).step("rate").reason is None


DRILL = """
from engine.steps.attempt_log import Progress
from engine.steps.context import Context, entered
from examples.crash_drill import die_once
attempt = Context(execution_id="e", workflow="w", step="s", idempotency_key="the-key")
with entered(attempt):
    print(die_once.fn("kept", 0)["kept"])
"""


def test_crash_drill_kills_its_process_once_and_then_completes(tmp_path: Path) -> None:
    root = Path(examples.__file__).parent.parent
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(root)}

    def claim() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", DRILL],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert claim().returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    second = claim()
    assert (second.returncode, second.stdout) == (0, "kept\n")
    assert list(tmp_path.iterdir()) == []
    assert crash_drill.report.fn({"kept": "a", "process": 1}).startswith("'a' survived")
