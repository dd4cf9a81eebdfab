"""Hints that name what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 8


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?", else the names there are when they are few, else nothing."""
    names = list(known)
    # Comparing with thousands of names costs milliseconds for each fault of a large document.
    close = get_close_matches(word, names[:2_000], n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _SHOWN else ""
