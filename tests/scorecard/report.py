"""The scorecard as JSON, as a Markdown table, and as a line of totals."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.scorecard.registry import Row
from tests.scorecard.verdict import Verdict

SAMPLES = 100  # below this a 99th percentile is the maximum by another name: it is not given
BEGIN, END = "<!-- scorecard {db} -->", "<!-- /scorecard {db} -->"
COLUMNS = (
    "fault",
    "db",
    "runs",
    "in flight",
    "accepted",
    "lost",
    "duplicated effects",
    "doubled completions",
    "stale accepted",
    "stuck > 60 s",
    "wrong end",
    "recovery p50/p99/max (n)",
    "seed",
)
_COUNTS = (
    "in_flight",
    "accepted",
    "lost",
    "duplicated_effects",
    "doubled_completions",
    "stale_accepted",
    "stuck",
    "wrong_end",
)


@dataclass
class Card:
    """A scorecard in the making."""

    db: str
    seed: int
    minutes: float
    scale: float
    rows: Sequence[Row]
    runs: dict[str, list[Verdict]] = field(default_factory=dict)

    @property
    def red(self) -> list[str]:
        """The rows with a broken promise, a failed run, or no run at all."""
        applying = [row.name for row in self.rows if self.db not in row.absent]
        return [
            name
            for name in applying
            if not self.runs.get(name) or any(v.red for v in self.runs[name])
        ]

    def total(self, row: Row) -> dict[str, Any]:
        """Return the counts of a row's runs together."""
        runs = self.runs.get(row.name, [])
        found: dict[str, Any] = {name: sum(getattr(v, name) for v in runs) for name in _COUNTS}
        samples = [value for verdict in runs for value in verdict.recoveries]
        failed = sum(bool(verdict.breaches or verdict.weak) for verdict in runs)
        return {"runs": len(runs), **found, "failed_runs": failed, "recovery": spread(samples)}

    def totals(self) -> dict[str, Any]:
        """Return the counts of the whole card."""
        each = [self.total(row) for row in self.rows]
        summed = {name: sum(row[name] for row in each) for name in ("runs", *_COUNTS)}
        return {
            "db": self.db,
            "seed": self.seed,
            "scale": self.scale,
            "rows": sum(bool(row["runs"]) for row in each),
            "not_applicable": sum(self.db in row.absent for row in self.rows),
            **summed,
            "failed_runs": sum(row["failed_runs"] for row in each),
            "red": self.red,
        }

    def asdict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            **where(),
            "minutes": self.minutes,
            "totals": self.totals(),
            "rows": [
                {
                    "name": row.name,
                    "group": row.group,
                    "fault": row.fault,
                    "recovery_is": row.recovery,
                    "not_applicable": row.absent.get(self.db),
                    **self.total(row),
                    "each": [verdict.asdict() for verdict in self.runs.get(row.name, [])],
                }
                for row in self.rows
            ],
        }

    def markdown(self) -> str:
        """Return the table, and beneath it what went wrong and what does not apply."""
        lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [self._row(row) for row in self.rows if self.db not in row.absent]
        lines += self._faults()
        absent = [row for row in self.rows if self.db in row.absent]
        if absent:
            lines += ["", f"Not applicable on {self.db}:", ""]
            lines += [f"- {row.group}: {row.fault}: {row.absent[self.db]}" for row in absent]
        return "\n".join(lines)

    def _row(self, row: Row) -> str:
        total = self.total(row)
        counts = [total[name] for name in _COUNTS]
        recovery = words(total["recovery"])
        return _line(
            [f"{row.group}: {row.fault}", self.db, total["runs"], *counts, recovery, self.seed]
        )

    def _faults(self) -> list[str]:
        lines = [""] if self.red else []
        for name in self.red:
            runs = self.runs.get(name, [])
            lines += [f"- **{name}** is red: no run" if not runs else ""] if not runs else []
            for verdict in runs:
                if verdict.red:
                    said = [*verdict.weak.splitlines()[:1], *verdict.breaches[:3]]
                    told = "; ".join(filter(None, said)) or "see the counts"
                    lines.append(f"- **{name}** is red with seed {verdict.seed}: {told}")
        return lines


def spread(samples: Sequence[float]) -> dict[str, Any]:
    """Return median, 99th percentile (of enough samples only), maximum and number, in seconds."""
    if not samples:
        return {"n": 0}
    found: dict[str, Any] = {"p50": round(statistics.median(samples), 2)}
    if len(samples) >= SAMPLES:
        found["p99"] = round(statistics.quantiles(samples, n=100, method="inclusive")[98], 2)
    return {**found, "max": round(max(samples), 2), "n": len(samples)}


def words(recovery: Mapping[str, Any]) -> str:
    """Return a spread as the table shows it."""
    if not recovery["n"]:
        return "–"
    p99 = f"{recovery['p99']:.1f}" if "p99" in recovery else "–"
    return f"{recovery['p50']:.1f} / {p99} / {recovery['max']:.1f} s ({recovery['n']})"


def where() -> dict[str, Any]:
    """Return what a number means nothing without: machine, Python, commit."""
    return {
        "machine": platform.platform(),
        "processors": _processors(),
        "python": platform.python_version(),
        "commit": _commit(),
    }


def write_into(document: Path, card: Card) -> None:
    """Put the table between the database's markers in a document.

    Raises:
        ValueError: the document has no such markers.
    """
    text = document.read_text()
    begin, end = BEGIN.format(db=card.db), END.format(db=card.db)
    if begin not in text or end not in text:
        raise ValueError(f"{document} has no place for the table: it needs {begin} and {end}")
    about = where()
    said = (
        f"Commit {about['commit']}, seed {card.seed}, {card.minutes:g} min,"
        f" leases × {card.scale:g}, {about['processors']}, {about['machine']},"
        f" Python {about['python']}."
    )
    head, rest = text.split(begin, 1)
    document.write_text(f"{head}{begin}\n{said}\n\n{card.markdown()}\n{end}{rest.split(end, 1)[1]}")


def save(card: Card, folder: Path) -> Path:
    """Write ``scorecard-<db>.json`` and ``.md`` and return the first's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"scorecard-{card.db}.json"
    path.write_text(json.dumps(card.asdict(), indent=1) + "\n")
    path.with_suffix(".md").write_text(card.markdown() + "\n")
    return path


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _processors() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
