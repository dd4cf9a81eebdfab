"""A schema checked by itself: every keyword, where references lead, and what it can cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.codec import member
from engine.definition.faults import Faults
from engine.definition.json_schema.complete import completed
from engine.definition.json_schema.run import BadSchema, Run
from engine.definition.json_schema.shape import (
    IN_PLACE,
    NAMED,
    ONE,
    SEVERAL,
    UNSUPPORTED,
    hint_of,
    problem_of,
)
from engine.definition.json_schema.tree import Tree
from engine.errors import ExpressionError
from engine.expressions import Budget, matches

_PROBE = 500_000  # units of work for the defaults, and for the patterns: some 0.2 s
MAX_AT_ONCE = 10_000  # schemas that one value may have to fit, references followed


def check(schema: Any, faults: Faults, path: str) -> None:
    """Keep a fault for everything that is wrong with ``schema``, found under ``path``."""
    before = len(faults.found)
    parts, budget = [], Budget(_PROBE)
    for where, part in _parts(schema, path):
        if isinstance(part, dict):
            parts.append((where, part))
            _check_keywords(part, where, budget, faults)
        elif not isinstance(part, bool):
            faults.add(where, "must be a schema: a mapping, or true or false")
    if len(faults.found) > before:
        return
    tree = Tree(schema)
    for where, part in parts:
        if "$ref" in part:
            try:
                tree.target(part["$ref"])
            except BadSchema as error:
                faults.add(member(where, "$ref"), str(error), "add it under $defs")
    if len(faults.found) == before:
        _check_cost(tree, parts, faults)


def _parts(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the schema and every one inside it with its path, whether it is one or not."""
    left = [(path, schema)]
    while left:
        where, part = left.pop()
        yield where, part
        if isinstance(part, dict):
            inner = [found for key in part for found in _inner(part, key, where)]
            left += reversed(inner)


def _inner(part: dict[str, Any], key: str, where: str) -> Iterator[tuple[str, Any]]:
    given = part[key]
    at = member(where, key)
    if key in ONE:
        yield at, given
    elif key in SEVERAL and isinstance(given, list):
        yield from ((member(at, index), entry) for index, entry in enumerate(given))
    elif key in NAMED and isinstance(given, dict):
        yield from ((member(at, name), entry) for name, entry in given.items())


def _check_keywords(part: dict[str, Any], where: str, budget: Budget, faults: Faults) -> None:
    for name, given in part.items():
        if name in UNSUPPORTED:
            faults.add(member(where, name), "is not supported", UNSUPPORTED[name])
            continue
        if name in ONE:
            continue  # told where it stands
        problem = problem_of(name, given)
        if problem:
            hint = "write #/$defs/name" if name == "$ref" else hint_of(name, given)
            faults.add(member(where, name), problem, hint)
        elif name == "pattern":
            _check_pattern(given, member(where, name), budget, faults)


def _check_pattern(pattern: str, where: str, budget: Budget, faults: Faults) -> None:
    if budget.left < 0:
        return  # told once
    try:
        matches("", pattern, budget)
    except ExpressionError as error:
        if budget.left >= 0:
            faults.add(where, error.message, error.hint)
        else:
            faults.add(where, "is one of too many costly patterns", "leave some out")


def _check_cost(tree: Tree, parts: list[tuple[str, dict[str, Any]]], faults: Faults) -> None:
    """Refuse references that go in a circle or multiply, and defaults without end."""
    sizes: dict[int, int] = {}
    for where, part in parts:
        size = _size(part, tree, sizes)
        if size is None:
            faults.add(where, "its references go in a circle", "break it")
            return
        if size > MAX_AT_ONCE:
            problem = f"asks one value to fit over {MAX_AT_ONCE:,} schemas, references followed"
            faults.add(where, problem, "say each thing once")
            return
    try:
        completed({}, tree.root, tree, Run(_PROBE))
    except (BadSchema, ExpressionError, RecursionError):
        faults.add(parts[0][0], "its defaults have no end", "leave one of them out")


def _size(start: dict[str, Any], tree: Tree, sizes: dict[int, int]) -> int | None:
    """Return how many schemas hold for a value that ``start`` is for; None: for ever.

    ``sizes`` are those known so far, by identity; 0 while one is being counted.
    """
    stack = [start]
    while stack:
        part = stack[-1]
        known = sizes.get(id(part))
        if known:
            stack.pop()
            continue
        beside = [one for one in _in_place(part, tree) if isinstance(one, dict)]
        if known is None:
            sizes[id(part)] = 0
            unknown = [one for one in beside if not sizes.get(id(one))]
            if any(id(one) in sizes for one in unknown):
                return None
            stack += unknown
        else:
            stack.pop()
            sizes[id(part)] = 1 + sum(sizes[id(one)] for one in beside)
    return sizes[id(start)]


def _in_place(part: dict[str, Any], tree: Tree) -> Iterator[Any]:
    """Yield the schemas that a value has to be held against because it is against ``part``."""
    if "$ref" in part:
        yield tree.target(part["$ref"])
    for key in IN_PLACE & part.keys():
        yield from (one for _, one in _inner(part, key, ""))
