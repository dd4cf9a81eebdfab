"""Hints that name what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import islice

_SHOWN = 8
_LOOKED_AT = 2_000
_COMPARED = 40  # comparing takes some 40 µs a name
_LONGEST = 80  # characters


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?", else the names there are when they are few, else nothing."""
    names = list(islice(known, _LOOKED_AT))
    if len(word) > _LONGEST:
        return ""
    close = get_close_matches(word, _nearest(word, names), n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    few = 0 < len(names) <= _SHOWN and max(map(len, names)) <= _LONGEST
    return f"known: {', '.join(names)}" if few else ""


def _nearest(word: str, names: list[str]) -> list[str]:
    """Return the names that may be close, by what is cheap to tell."""
    letters, start = set(word), word[:3]

    def likeness(name: str) -> int:
        shared = len(letters.intersection(name)) + 2 * name.startswith(start)
        return shared - abs(len(name) - len(word))

    names = [name for name in names if len(name) <= _LONGEST]
    return names if len(names) <= _COMPARED else nlargest(_COMPARED, names, key=likeness)
