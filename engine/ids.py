"""Ids: 13 characters that sort by the time they were made.

Crockford's base 32 (no i, l, o, u), lower case: 41 bits of milliseconds, 24 random bits. Sorting
as text is sorting by creation, so the newest fifty rows are the end of an index.
Source: https://www.crockford.com/base32.html
"""

from __future__ import annotations

import secrets
import threading
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 13
LAST_ID = ALPHABET[-1] * LENGTH
_RANDOM_BITS = 24
_EPOCH_MS = 1_704_067_200_000  # 2024-01-01: 41 bits of milliseconds last until 2093
_LAST_MS = 2**41 - 1
_STEP_BITS = 12  # at random too: two threads that began near each other must not march in step


class _Last(threading.local):
    """The number of the newest id of this thread; a thread of its own needs no lock."""

    number = 0


_last = _Last()


def new_id() -> str:
    """Return a new id: greater than the one before that this thread made in the same millisecond.

    Of two threads or processes, two made in one millisecond differ with odds of 1 in 16 million.
    """
    millis = time.time_ns() // 1_000_000 - _EPOCH_MS
    number = (millis << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    # A carry into the next millisecond is followed too; a clock that was set back is not.
    if number <= _last.number < (millis + 2) << _RANDOM_BITS:
        number = _last.number + 1 + secrets.randbits(_STEP_BITS)
    _last.number = number
    return encode(number)


def first_id(micros: int) -> str:
    """Return the least id that can be made at that time, µs since 1970."""
    return encode(min(max(micros // 1000 - _EPOCH_MS, 0), _LAST_MS) << _RANDOM_BITS)


def made_at(known_id: str) -> int:
    """Return when the id was made, in µs since 1970: to the millisecond."""
    number = 0
    for letter in known_id:
        number = number << 5 | ALPHABET.index(letter)
    return ((number >> _RANDOM_BITS) + _EPOCH_MS) * 1000


def encode(number: int) -> str:
    """Return ``number`` (65 bits at most) as 13 characters."""
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def is_id(text: str) -> bool:
    """Return whether ``text`` has the form of an id (a name never does: see ``definition``)."""
    return len(text) == LENGTH and all(letter in ALPHABET for letter in text)
