"""Checks of inputs that take more than a moment: a process that must go on answering others has
them made by another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.definition import json_schema
from engine.errors import Fault
from engine.expressions import BUDGET, OverBudget

MOMENT = 100_000  # units of work: some 50 ms

# Is given whose input it is, its schema, and the value.
Elsewhere = Callable[[str, dict[str, Any], Any], tuple[Any, list[Fault]]]
_elsewhere: list[Elsewhere] = []


def check_elsewhere(check: Elsewhere | None) -> None:
    """Have ``check`` make what takes more than a moment in this process; None: nobody else does."""
    _elsewhere[:] = [check] if check else []


def fitted(owner_id: str, tree: json_schema.Tree, value: Any) -> tuple[Any, list[Fault]]:
    """Return the input with its defaults, and what does not fit; see ``json_schema.fitted``.

    Raises:
        OverBudget: it takes more work than a check may.
        RateLimited, Unavailable: by another process, it takes too long, or others are in the way.
    """
    if not _elsewhere:
        return json_schema.fitted(tree, value, "input", BUDGET)
    try:
        return json_schema.fitted(tree, value, "input", MOMENT)
    except OverBudget:
        return _elsewhere[0](owner_id, tree.root, value)
