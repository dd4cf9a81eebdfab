"""Durable workflows on Dramatiq, with every step on screen as it happens.

The names for people who write workflows are here; they load what they need when first asked for,
so that importing one module of the engine stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.authoring import (
        approval,
        at_end,
        error_of,
        execution,
        fail,
        failures_of,
        sleep,
        status_of,
        step,
        wait_for_signal,
        workflow,
        workflow_step,
    )
    from engine.steps.context import context

__all__ = [
    "approval",
    "at_end",
    "context",
    "error_of",
    "execution",
    "fail",
    "failures_of",
    "sleep",
    "status_of",
    "step",
    "wait_for_signal",
    "workflow",
    "workflow_step",
]

_PLACES = {"context": "engine.steps.context"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_PLACES.get(name, "engine.authoring")), name)
