"""For people who write workflows: run them in one process, on a clock that skips what they wait
for, with failures where a test wants them. ``docs/testing.md`` is the manual."""

from engine.testing.clock import Clock
from engine.testing.harness import Harness
from engine.testing.run import Run, RunFailed, StepView

__all__ = ["Clock", "Harness", "Run", "RunFailed", "StepView"]
