"""A worker that stood still: which of its step runs was at fault, and what is told of it. Pure.

Code that keeps the interpreter's lock stops all threads of its process, those that would say so
too. From outside it is seen by the processor: whoever keeps the lock computes, all others wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.transitions import RunKey

# Waiting for the lock costs a thread some 1 % of a core; one of many that compute on a busy
# machine gets more than this.
_BUSY = 0.05


@dataclass(frozen=True, slots=True)
class Stall:
    """What was found of a worker that stood still.

    ``seconds`` is for how long it had; ``culprits`` are the claims that may be at fault (None:
    nothing tells, it may be any); ``trace`` is where the thread at fault was, as far as is known.
    """

    seconds: float
    culprits: tuple[str, ...] | None
    trace: str = ""

    def blames(self, key: RunKey, epoch: int) -> bool:
        """Return whether the claim may have been at fault."""
        return self.culprits is None or claim_name(key, epoch) in self.culprits

    @property
    def words(self) -> str:
        """What is told of the worker."""
        return f"nothing in it could run for {self.seconds:g} s: a step kept the interpreter's lock"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"seconds": self.seconds, "culprits": self.culprits, "trace": self.trace}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Stall:
        """Return what ``plain`` made."""
        culprits = plain["culprits"]
        return cls(plain["seconds"], None if culprits is None else tuple(culprits), plain["trace"])


def claim_name(key: RunKey, epoch: int) -> str:
    """Return the name of a claim in short ASCII."""
    return f"{key.execution_id}.{key.step}.{key.item}.{epoch}"


def busiest(shares: Mapping[int, float]) -> list[int]:
    """Return the threads that computed while nobody else could.

    Args:
        shares: of a core, by thread: 1.0 is one that never rested.
    """
    most = max(shares.values(), default=0.0)
    return [one for one, share in shares.items() if share >= _BUSY and share >= most / 2]


def culprits(busy: Sequence[int], claims: Sequence[tuple[int, str]]) -> tuple[str, ...] | None:
    """Return the claims that busy threads work for; None when that tells nothing.

    Args:
        busy: threads.
        claims: pairs of a thread and the name of a claim that it works for.
    """
    found = {claim for thread, claim in claims if thread in busy}
    return tuple(sorted(found)) or None


def describe_crash(stall: Stall | None, crashes: int) -> dict[str, Any]:
    """Return the error of a step run whose worker died for the ``crashes``-th time."""
    if stall is None:
        message = f"its worker died {_times(crashes)} while it ran"
        return {"message": message, "type": "WorkerCrashed", "crashes": crashes}
    who = "it" if stall.culprits is not None else "a step of its worker, perhaps it,"
    message = (
        f"{who} kept the interpreter's lock: nothing else in its worker could run for"
        f" {stall.seconds:g} s, and that was ended ({_times(crashes)} by now); `isolation: process`"
        " gives the step a process of its own, where it holds up nobody and its timeout holds"
    )
    described = {"message": message, "type": "InterpreterLockHeld", "crashes": crashes}
    return described | ({"trace": stall.trace} if stall.trace else {})


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
