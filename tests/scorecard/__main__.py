"""``python -m tests.scorecard``: break the engine on purpose, and count what it costs."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

import pytest

from tests.scorecard import report
from tests.scorecard.bench import DATABASES, Bench, bench
from tests.scorecard.registry import Row
from tests.scorecard.report import Card
from tests.scorecard.rows import ROWS
from tests.scorecard.runner import run
from tests.scorecard.verdict import Verdict


def main() -> int:
    """Run what the command line asks for; return 0 when every promise was kept."""
    options = _options()
    rows = [ROWS[name] for name in options.rows] if options.rows else list(ROWS.values())
    card = Card(options.db, options.seed, options.minutes, options.scale, rows)
    print(f"seed {card.seed}", flush=True)
    try:
        with bench(options.db) as made:
            _fill(card, made, options.folder)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        print(f"the scorecard cannot run here: {error}", file=sys.stderr)
        return 2
    path = report.save(card, options.folder)
    print(card.markdown())
    if options.write is not None:
        report.write_into(options.write, card)
    print(f"wrote {path}")
    print(json.dumps(card.totals()))
    return 1 if card.red else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scorecard", description=__doc__)
    parser.add_argument("--db", choices=DATABASES, default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument(
        "--minutes",
        type=float,
        default=10,
        help="rows are run again while there is time; each is run once whatever it takes",
    )
    parser.add_argument("--rows", type=_names, default=[], help="names with commas; all of them")
    parser.add_argument(
        "--scale", type=float, default=1, help="what leases, heartbeats and sweeps are times by"
    )
    parser.add_argument("--folder", type=Path, default=Path(".scorecard"), help="for the files")
    parser.add_argument("--write", type=Path, help="a document with a place for the table")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        known = ", ".join(ROWS)
        raise argparse.ArgumentTypeError(f"no row {', '.join(unknown)}: there are {known}")
    return names


def _fill(card: Card, made: Bench, folder: Path) -> None:
    """Run every row once, then all of them again for as long as there is time.

    What there is is kept after each run: hours must not be lost with the terminal.
    """
    until = time.monotonic() + card.minutes * 60
    applying = [row for row in card.rows if card.db not in row.absent]
    times = 0
    while applying:
        for row in applying:
            runs = card.runs.setdefault(row.name, [])
            if times and time.monotonic() + _usual(runs) > until:
                continue
            runs.append(run(row, made, card.seed + times, scale=card.scale))
            report.save(card, folder)
            _say(row, runs[-1])
        times += 1
        if all(time.monotonic() + _usual(card.runs[row.name]) > until for row in applying):
            return


def _usual(runs: list[Verdict]) -> float:
    return max((verdict.seconds for verdict in runs), default=0.0)


def _say(row: Row, verdict: Verdict) -> None:
    found = f"accepted {verdict.accepted}, lost {verdict.lost}, {verdict.seconds:.0f} s"
    colour = "RED " if verdict.red else "kept"
    print(f"{colour} {row.name} (seed {verdict.seed}): {found}", flush=True)
    if verdict.red:
        for line in (verdict.weak, *verdict.breaches[:10], *verdict.notes[:5]):
            print(f"     {line[:300]}")


if __name__ == "__main__":
    sys.exit(main())
