"""The seed of a test run's rows: printed at its end, taken again from ``SCORECARD_SEED``."""

from __future__ import annotations

import os
import random

import pytest

SEED = int(os.environ.get("SCORECARD_SEED") or random.randrange(1_000_000))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say the seed, also when all is green."""
    terminalreporter.write_line(f"the scorecard's seed was {SEED}: SCORECARD_SEED takes it again")
