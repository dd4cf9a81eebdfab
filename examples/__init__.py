"""Workflows to start with; each shows one thing. Loaded by ``ENGINE_MODULES=examples``."""

from examples import (
    artifacts,
    crash_drill,
    fan_out,
    flaky,
    isolated,
    order,
    quote,
    release,
    trip,
    weather,
)

__all__ = [
    "artifacts",
    "crash_drill",
    "fan_out",
    "flaky",
    "isolated",
    "order",
    "quote",
    "release",
    "trip",
    "weather",
]
