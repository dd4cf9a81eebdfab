"""Durable workflows on Dramatiq, with every step on screen as it happens.

The names for people who write workflows are here; they load what they need when first asked for,
so that importing one module of the engine stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.authoring import sleep, step, workflow
    from engine.steps.context import context

__all__ = ["context", "sleep", "step", "workflow"]

_PLACES = {
    "context": "engine.steps.context",
    "sleep": "engine.authoring",
    "step": "engine.authoring",
    "workflow": "engine.authoring",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
