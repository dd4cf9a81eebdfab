"""Ten rows with leases of a tenth, and what shows that a green row means something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scorecard import report, throughput
from tests.scorecard.bench import Bench, bench
from tests.scorecard.conftest import SEED
from tests.scorecard.registry import POSTGRES, SQLITE
from tests.scorecard.report import Card
from tests.scorecard.rows import ROWS
from tests.scorecard.runner import run
from tests.scorecard.table import TABLE
from tests.scorecard.verdict import Verdict

SCALE = 0.1
DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"

TEN = [
    ("kill-mid-step", POSTGRES),
    ("kill-before-enqueue", SQLITE),
    ("zombie", SQLITE),
    ("kill-after-effect", SQLITE),
    ("flushall", POSTGRES),
    ("redis-killed", SQLITE),
    ("doubled", POSTGRES),
    ("commit-reply-lost", POSTGRES),
    ("postgres-restart", POSTGRES),
    ("cancel-race", SQLITE),
]
# What is switched off, the row that must then go red, and the count that must tell.
CONTROLS = [
    ("fencing", "zombie", SQLITE, "stale_accepted"),
    ("rescue", "kill-mid-step", SQLITE, "lost"),
    ("guard", "commit-reply-lost", SQLITE, "doubled_completions"),
]
SOON = 6.0  # seconds after which a control's executions count as lost: it is to be red, not slow


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[str, Bench]]:
    """A bench on each database."""
    with ExitStack() as stack:
        yield {kind: stack.enter_context(bench(kind)) for kind in (SQLITE, POSTGRES)}


def told(verdict: Verdict) -> str:
    """Return what a person needs to run this again and to see what went wrong."""
    return f"seed {SEED}: {verdict.asdict()}"


@pytest.mark.parametrize(("name", "kind"), TEN)
def test_nothing_is_lost_doubled_or_stuck_under(
    name: str, kind: str, benches: dict[str, Bench]
) -> None:
    verdict = run(ROWS[name], benches[kind], SEED, scale=SCALE)
    assert not verdict.red, told(verdict)
    assert verdict.accepted
    assert verdict.lost == verdict.doubled_completions == verdict.stale_accepted == 0


@pytest.mark.parametrize(("promise", "name", "kind", "count"), CONTROLS)
def test_a_row_goes_red_when_its_promise_is_switched_off(
    promise: str, name: str, kind: str, count: str, benches: dict[str, Bench]
) -> None:
    verdict = run(ROWS[name], benches[kind], SEED, scale=SCALE, slack=SOON, sabotage=promise)
    assert verdict.red
    assert getattr(verdict, count) > 0, told(verdict)


def test_every_fault_of_the_table_has_its_row_and_every_row_its_fault() -> None:
    rows = [(row.group, row.fault) for row in ROWS.values()]
    assert rows == [(group, fault) for group, faults in TABLE.items() for fault in faults]
    for row in ROWS.values():
        # A row that cannot be run says why, for each database.
        assert set(row.absent) <= {SQLITE, POSTGRES}
        assert all(row.absent.values())
        assert (row.drill is None) == (set(row.absent) == {SQLITE, POSTGRES})


def test_the_document_names_every_row() -> None:
    named = set(re.findall(r"^\| `([a-z0-9-]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert named == set(ROWS)


def test_throughput_is_back_when_new_work_completes_at_nine_tenths_of_the_rate_before() -> None:
    fifth = [n / 5 for n in range(100)]  # five a second
    assert throughput.rate(fifth, until=10) == 5
    # After a heal at 0 new work trickles for 3 s, then is served as before.
    served = [1.0, 2.0, *(3 + n / 5 for n in range(20))]
    assert throughput.back(served, before=5) == 3.0
    assert throughput.back(served, before=6) is None
    assert throughput.back([], before=5) is None


def test_two_seconds_that_are_not_over_show_no_throughput() -> None:
    assert throughput.back([n / 5 for n in range(8)], before=5) is None


# --- the report -----------------------------------------------------------------------------------


def card(**more: Verdict) -> Card:
    rows = [ROWS["flushall"], ROWS["pool-exhausted"]]
    verdict = more.get("verdict", Verdict(7, in_flight=3, accepted=40, succeeded=40))
    return Card(SQLITE, 7, 1, 1, rows, {"flushall": [verdict]})


def test_a_percentile_is_given_of_a_hundred_samples_and_not_of_fewer() -> None:
    few = report.spread([float(n) for n in range(99)])
    assert few == {"p50": 49.0, "max": 98.0, "n": 99}
    assert report.words(few) == "49.0 / – / 98.0 s (99)"
    many = report.spread([float(n) for n in range(101)])
    assert (many["p50"], many["p99"], many["max"]) == (50.0, 99.0, 100.0)


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(7, lost=1),
        Verdict(7, doubled_completions=1),
        Verdict(7, stale_accepted=1),
        Verdict(7, stuck=1),
        Verdict(7, wrong_end=1),
        Verdict(7, breaches=["an invariant"]),
        Verdict(7, weak="the fault never struck"),
    ],
    ids=lambda verdict: str(next(k for k, v in verdict.asdict().items() if v and k != "seed")),
)
def test_a_card_is_red_after_one_broken_promise_or_one_run_that_shows_nothing(
    verdict: Verdict,
) -> None:
    assert card(verdict=verdict).red == ["flushall"]
    assert "flushall** is red with seed 7" in card(verdict=verdict).markdown()


def test_a_red_row_is_told_of_in_one_line() -> None:
    told = card(verdict=Verdict(7, weak="not within 9 s\na long report")).markdown()
    assert "- **flushall** is red with seed 7: not within 9 s\n" in told


def test_a_row_that_was_not_run_is_red_and_one_that_does_not_apply_says_why() -> None:
    green = card()
    assert green.red == []
    assert "pool exhausted: a file has no server" in green.markdown()
    assert Card(SQLITE, 7, 1, 1, green.rows, {}).red == ["flushall"]


def test_the_table_is_written_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    document = tmp_path / "card.md"
    document.write_text(
        "before\n<!-- scorecard sqlite -->\nold\n<!-- /scorecard sqlite -->\nafter\n"
    )
    report.write_into(document, card())
    text = document.read_text()
    assert text.startswith("before\n<!-- scorecard sqlite -->\n")
    assert text.endswith("<!-- /scorecard sqlite -->\nafter\n")
    assert "old" not in text
    assert "| Redis: FLUSHALL | sqlite | 1 | 3 | 40 | 0 |" in text
    document.write_text("no place")
    with pytest.raises(ValueError, match="no place for the table"):
        report.write_into(document, card())
