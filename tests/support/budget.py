"""Time per level, said at the end beside what each level may take."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

BUDGET = {"unit": 20, "integration": 180, "functional": 240, "faults": 300}  # seconds
BUDGET |= {"scorecard": 300, "e2e": 360}
_TESTS = Path(__file__).parent.parent


def level_of(path: Path) -> str | None:
    """Return the level a test file belongs to by its folder, or None outside of all."""
    if not path.is_relative_to(_TESTS):
        return None
    top = path.relative_to(_TESTS).parts[0]
    return top if top in BUDGET else None


class Clock:
    """A pytest plugin: adds up what each level took, and lists what was skipped and why."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.skipped: dict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        level = level_of(_TESTS.parent / report.location[0])
        if level:
            self.seconds[level] += report.duration
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for level, limit in BUDGET.items():
            took = self.seconds.get(level)
            if took is not None:
                verdict = "over its budget of" if took > limit else "of"
                terminalreporter.write_line(f"{level:12} {took:6.1f} s {verdict} {limit} s")
        for reason, times in self.skipped.items():
            terminalreporter.write_line(f"skipped {times} ×: {reason}")
