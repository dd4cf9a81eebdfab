"""The normal form of a document: by it two are told to be the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from engine.codec import plain

KEYS = (
    *("name", "title", "description", "input", "defaults", "timeout", "steps", "finally"),
    "output",
)
STEP_KEYS = (
    *("uses", "with", "needs", "when", "for_each", "max_parallel", "allow_failures", "retry"),
    *("timeout", "expires", "queue", "isolation", "memory", "cache", "on_failure", "compensate"),
)
_MAY_BE_LEFT_OUT = (
    "title",
    "description",
    "input",
    "defaults",
    "with",
    "needs",
    "retry",
    "finally",
)


def content_hash(document: dict[str, Any]) -> str:
    """Return the sha256 (hex) of ``document`` in its normal form.

    The order of keys does not count, but for steps and input properties: pages and forms show
    them in that order.
    """
    normal = plain(form(document))
    order = [list(normal.get("steps", {})), list(normal.get("input", {}).get("properties", {}))]
    text = json.dumps([normal, order], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def form(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with the engine's own keys in one order and empty ones left out."""
    normal = _ordered(document, KEYS)
    steps = document.get("steps")
    if isinstance(steps, dict):
        normal["steps"] = {
            name: _ordered(step, STEP_KEYS) if isinstance(step, dict) else step
            for name, step in steps.items()
        }
    return normal


def _ordered(value: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {
        key: value[key]
        for key in keys
        if value.get(key) is not None and (value[key] or key not in _MAY_BE_LEFT_OUT)
    }
