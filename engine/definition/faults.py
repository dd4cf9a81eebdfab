"""Collects what is wrong, so that every fault is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.errors import ExpressionError, Fault
from engine.expressions import Allowance, Template, compile, did_you_mean

MAX_FAULTS = 100  # more help nobody, and a hostile document could have millions
_CLIPPED = 400  # characters: a name of a document may have millions

_WORDS = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number"}


class TooMany(Exception):
    """There are as many faults as are told: looking for more would help nobody."""


class Faults:
    """The faults found so far. Each method returns what the next check may use, or None.

    Args:
        allowance: what the document's expressions may take.
        stored: whether it was accepted once; then rules that are younger do not count.

    Each method raises `TooMany` with the last fault that is told.
    """

    def __init__(self, allowance: Allowance | None = None, *, stored: bool = False) -> None:
        self.stored = stored
        self.found: list[Fault] = []
        self._allowance = allowance or Allowance()

    def add(self, path: str, problem: str, hint: str = "") -> None:
        """Keep one fault."""
        self.found.append(Fault(_clipped(path), _clipped(problem), _clipped(hint)))
        if len(self.found) >= MAX_FAULTS:
            raise TooMany

    def add_new(self, path: str, problem: str, hint: str = "") -> None:
        """Keep a fault by a rule that is younger than stored documents: those are read as ever."""
        if not self.stored:
            self.add(path, problem, hint)

    def typed(self, value: Any, kind: type, path: str, hint: str = "") -> bool:
        """Return whether ``value`` is a ``kind``; keep a fault if not."""
        if type(value) is kind:
            return True
        self.add(path, f"must be {_WORDS[kind]}, not {word(value)}", hint)
        return False

    def keys(self, value: dict[str, Any], known: Iterable[str], path: str) -> None:
        """Keep a fault for each key that is not known."""
        names = list(known)
        for key in value:
            if key not in names:
                where = f"{path}.{key}" if path else key
                self.add(where, "is not a known key", did_you_mean(key, names))

    def template(self, value: Any, path: str) -> Template | None:
        """Return ``value`` compiled, or None after keeping its faults."""
        try:
            return compile(value, path, self._allowance, stored=self.stored)
        except ExpressionError as error:
            for fault in error.faults:
                self.add(fault.path, fault.problem, fault.hint)
            return None


def _clipped(text: str) -> str:
    return text if len(text) <= _CLIPPED else text[:_CLIPPED] + "…"


def word(value: Any) -> str:
    """Return the word for the type of ``value``."""
    if value is None:
        return "nothing"
    return "a number" if type(value) is float else _WORDS.get(type(value), type(value).__name__)
