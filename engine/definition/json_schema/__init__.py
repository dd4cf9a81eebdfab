"""JSON Schema (draft 2020-12), with a bound on what a check may cost.

Own code, although there are libraries: of those for Python one holds a thread for a minute over
a list of 6,000 entries or over 20,000 faults, and follows references that double for ever; those
in Rust keep the interpreter's lock meanwhile. Here every step is charged to a budget, equality is
by hash, and a fault says what to write. `jsonschema` with each keyword charged was tried: seventeen
keywords had to be replaced to bound it, which saved fifty lines and took three times as long. It
stays as what the tests compare the verdicts with.
"""

from __future__ import annotations

from typing import Any

from engine.definition.json_schema.complete import completed
from engine.definition.json_schema.run import BadSchema, Run, first_of, path_of
from engine.definition.json_schema.tree import Tree
from engine.definition.json_schema.whole import check
from engine.errors import Fault

__all__ = ["BadSchema", "Tree", "check", "fitted", "wrong_in"]


def fitted(tree: Tree, value: Any, root: str, units: int) -> tuple[Any, list[Fault]]:
    """Return ``value`` with the schema's defaults, and what does not fit (the first hundred).

    Args:
        tree: of a JSON Schema; one that is kept is taken apart once only.
        value: plain JSON of one's own: it is changed in place.
        root: what the value is called in paths.
        units: of work that it may take, each about 0.5 µs.

    Raises:
        BadSchema: the schema itself is at fault.
        OverBudget: the check takes more work.
        ExpressionError: a pattern of the schema is none.
    """
    run = Run(units)
    value = completed(value, tree.root, tree, run)
    tree.node(tree.root).fits(run, value, None)
    found = [Fault(path_of(one.place, root), one.problem, one.hint) for one in run.found or ()]
    return value, found


def wrong_in(schema: Any, value: Any, name: str, units: int) -> set[str]:
    """Return the keywords of ``schema`` that the property ``name`` of ``value`` does not fit.

    Raises:
        BadSchema, OverBudget, ExpressionError: as ``fitted``.
    """
    run = Run(units)
    Tree(schema).node(schema).fits(run, value, None)
    return {one.keyword for one in run.found or () if first_of(one.place) == name}
