"""One check of a value: the work left, and what was found wrong so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from engine.codec import member
from engine.definition.faults import MAX_FAULTS
from engine.expressions import Budget

if TYPE_CHECKING:
    from engine.definition.json_schema.tree import Tree

# The way from the root to a value, last key first: made for each value, written for few.
Place = Union[tuple["Place", str | int], None]  # noqa: UP007  # it names itself
_VISIT = 6  # units of work, each about 0.5 µs
Check = Callable[["Run", Any, Place], bool]


class BadSchema(Exception):
    """A schema that says what it may not, where nobody had looked before."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that does not fit."""

    place: Place
    keyword: str
    problem: str
    hint: str = ""


class Run:
    """``found`` is None while nobody will read what does not fit: the first is enough then."""

    __slots__ = ("budget", "found")

    def __init__(self, units: int) -> None:
        self.budget = Budget(units)
        self.found: list[Found] | None = []

    def fault(self, place: Place, keyword: str, problem: str, hint: str = "") -> bool:
        """Keep one fault, if there are not too many yet; return False, for the check."""
        if self.found is not None and len(self.found) < MAX_FAULTS:
            self.found.append(Found(place, keyword, problem, hint))
        return False

    def quietly(self, node: Node, value: Any, place: Place) -> bool:
        """Return whether ``value`` fits ``node``, and keep no fault."""
        outer, self.found = self.found, None
        try:
            return node.fits(self, value, place)
        finally:
            self.found = outer

    def faults_of(self, node: Node, value: Any, place: Place) -> list[Found]:
        """Return what is wrong with ``value`` for ``node``, and keep none of it."""
        outer, self.found = self.found, []
        try:
            node.fits(self, value, place)
            return self.found
        finally:
            self.found = outer


class Node:
    """A schema that values are held against; it is taken apart when it first meets one."""

    __slots__ = ("_checks", "_tree", "schema")

    def __init__(self, schema: Any, tree: Tree) -> None:
        self.schema = schema
        self._tree = tree
        self._checks: Sequence[Check] | None = None

    def fits(self, run: Run, value: Any, place: Place) -> bool:
        """Return whether ``value`` fits; ``run`` keeps what does not."""
        run.budget.spend(_VISIT)
        checks = self._checks
        if checks is None:
            checks = self._checks = self._tree.checks(self.schema)
        fits = True
        for index, check in enumerate(checks):
            if not check(run, value, place):
                fits = False
                # Of the wrong type (which is looked at first) the rest says nothing more.
                if run.found is None or (index == 0 and self.schema and "type" in self.schema):
                    break
        return fits


def every(results: Iterable[bool]) -> bool:
    """Return whether all are true, after asking for each: each tells what does not fit."""
    fits = True
    for result in results:
        fits = result and fits
    return fits


def first_of(place: Place) -> str | int | None:
    """Return the first key on the way to a place; None for the root."""
    key: str | int | None = None
    while place is not None:
        place, key = place
    return key


def path_of(place: Place, root: str) -> str:
    """Return a place as it is written in messages."""
    keys: list[str | int] = []
    while place is not None:
        place, key = place
        keys.append(key)
    path = root
    for key in reversed(keys):
        path = member(path, key)
    return path
