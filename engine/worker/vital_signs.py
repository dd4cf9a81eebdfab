"""A page of memory that a worker shares with its guardian: its heart, and who works for whom.

Memory, for a worker that stands still can answer nothing, and because a claim comes and goes
thousands of times a second: writing it here costs a microsecond and no system call.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable

from engine.worker.guardian import COUNT, HEART, LOOKS, count

_SLOTS = 4096  # threads that work at once; more are not told apart
_SLOT = 64  # bytes: the thread's native id, the length of the claim's name, the name
_HEADER = 64
_WHO = struct.Struct("qh")
_LONGEST = _SLOT - _WHO.size


class VitalSigns:
    """Lies in the file that ``descriptor`` is of; without one in new memory, on Linux alone."""

    def __init__(self, descriptor: int | None = None) -> None:
        size = _HEADER + _SLOTS * _SLOT
        if descriptor is None:
            descriptor = _new_file(size)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, size)
        self._free = list(range(_SLOTS - 1, -1, -1))  # taken from its end: the first ones first

    # --- the worker's side ----------------------------------------------------------------------

    def beat(self) -> None:
        """Let the heart beat once more."""
        COUNT.pack_into(self._memory, HEART, self.heart + 1)

    @property
    def looks(self) -> int:
        """How many times the guardian has looked."""
        return count(self._memory, LOOKS)

    def mark(self, claim: str) -> Callable[[int], Callable[[], None]]:
        """Return what marks a thread as one that works for ``claim``, and gives what unmarks it."""
        name = claim.encode()[:_LONGEST]

        def marked(thread: int) -> Callable[[], None]:
            try:
                slot = self._free.pop()
            except IndexError:
                return _nothing
            at = _HEADER + slot * _SLOT
            self._memory[at + _WHO.size : at + _WHO.size + len(name)] = name
            _WHO.pack_into(self._memory, at, thread, len(name))  # last: with it the slot counts

            def unmarked() -> None:
                _WHO.pack_into(self._memory, at, 0, 0)
                self._free.append(slot)

            return unmarked

        return marked

    # --- for who looks at it from outside -------------------------------------------------------

    @property
    def heart(self) -> int:
        """How many times the heart has beaten."""
        return count(self._memory, HEART)

    def claims(self) -> list[tuple[int, str]]:
        """Return pairs of a thread and the claim it works for."""
        found = []
        for slot in range(_SLOTS):
            at = _HEADER + slot * _SLOT
            thread, length = _WHO.unpack_from(self._memory, at)
            if thread:
                name = self._memory[at + _WHO.size : at + _WHO.size + length]
                found.append((thread, name.decode("ascii", "replace")))
        return found


def _new_file(size: int) -> int:
    descriptor = os.memfd_create("vital-signs") if hasattr(os, "memfd_create") else -1
    if descriptor >= 0:
        os.ftruncate(descriptor, size)
    return descriptor  # without one it is memory that nobody else can see


def _nothing() -> None:
    return None
