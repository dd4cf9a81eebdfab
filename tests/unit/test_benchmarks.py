"""The parts of the benchmarks that compute: what they say of a machine nobody can check here."""

from __future__ import annotations

import random

import pytest

from benchmarks.__main__ import SHORT, Sizes, _parser, _sizes
from benchmarks.costs import group_of, of_product, since
from benchmarks.measure import medians, milliseconds, percentile
from benchmarks.report import rows


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 95, 1), (2, 50, 1), (10, 95, 10), (20, 95, 19), (100, 95, 95), (100, 100, 100), (5, 0, 1)],
)
def test_a_percentile_is_a_value_that_was_measured(
    count: int, percent: float, expected: int
) -> None:
    values = list(range(1, count + 1))
    random.Random(1).shuffle(values)
    assert percentile(values, percent) == expected


def test_times_are_told_in_milliseconds() -> None:
    times = [number / 1000 for number in range(1, 101)]
    assert milliseconds(times) == {"n": 100, "p50_ms": 50.5, "p95_ms": 95.0, "max_ms": 100.0}


def test_medians_are_taken_of_each_number_also_of_the_inner_ones() -> None:
    runs = [{"s": s, "cores": {"web": s * 2}} for s in (3.0, 1.0, 2.0)]
    assert medians(runs) == {"s": 2.0, "cores": {"web": 4.0}}


@pytest.mark.parametrize(
    ("command", "group"),
    [
        ("python -m dramatiq actors --queues dispatch steps", "workers"),
        ("python -m dramatiq actors --queues steps.long", "long steps"),
        ("python -m granian --factory engine_app.engine_app:app", "web"),
        ("python bin/periodiq actors", "scheduler"),
        ("/usr/bin/redis-server --port 0", "valkey"),
        ("python -m something.else", "supervisor"),
    ],
)
def test_each_process_of_the_product_belongs_to_a_group(command: str, group: str) -> None:
    assert group_of(command.split()) == group


def test_the_database_server_and_the_client_are_no_cost_of_the_product() -> None:
    spent = since({"web": 1.0, "client": 5.0}, {"web": 3.0, "database": 7.0, "client": 9.0})
    assert spent == {"web": 2.0, "database": 7.0, "client": 4.0}
    assert of_product(spent) == 2.0


def test_a_group_that_has_lost_a_process_has_not_earned_time() -> None:
    assert since({"workers": 5.0}, {"workers": 4.0}) == {"workers": 0.0}


def test_the_table_leaves_single_runs_and_idle_groups_to_the_json() -> None:
    result = {"w10": {"steps_s": 9, "cores": {"workers": 1.5, "web": 0.0}, "runs": [{}]}}
    assert dict(rows(result)) == {"w10.steps_s": "9", "w10.cores": "workers 1.5"}


def test_the_command_line_changes_what_it_names_and_nothing_else() -> None:
    assert _sizes(_parser().parse_args([])) == Sizes()
    short = _sizes(_parser().parse_args(["--short", "--executions", "4"]))
    assert (short.executions, short.runs) == (4, SHORT.runs)
