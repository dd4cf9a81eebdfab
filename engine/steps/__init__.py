"""Step types: what ``uses:`` may name. Entry points of the group ``engine.steps`` add others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from engine.definition.uses import BUILT_IN, TYPE
from engine.errors import Cut, Interrupted, TimedOut, UnknownStep
from engine.registry import why
from engine.steps.context import Context, entered
from engine.steps.watchdog import Watchdog

__all__ = [
    "ApprovalWanted",
    "ChildWanted",
    "Context",
    "Interrupted",
    "Park",
    "SignalWanted",
    "StepType",
    "TimedOut",
    "Watchdog",
    "added",
    "entered",
    "find",
    "has",
    "names",
]

GROUP = "engine.steps"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Park:
    """What a step returns to wait without holding a thread.

    Without ``wants`` it runs again at ``until`` (µs). With it the answer completes it, and it
    fails if none has come by ``until`` (None: it waits for ever).
    """

    until: int | None
    wants: SignalWanted | ApprovalWanted | ChildWanted | None = None


@dataclass(frozen=True, slots=True)
class SignalWanted:
    """A word from outside. One sent to nobody in particular counts for ``look_back`` µs."""

    name: str
    correlation: str
    look_back: int


@dataclass(frozen=True, slots=True)
class ApprovalWanted:
    """A person's yes or no."""

    title: str


@dataclass(frozen=True, slots=True)
class ChildWanted:
    """An execution of another workflow, whose output answers; not ``wait``: nobody waits for it."""

    workflow: str
    input: Any
    version: int | None
    wait: bool
    leaves: bool  # it goes on when this execution ends before it


class StepType(Protocol):
    """One kind of step. It is called by many threads at once and keeps nothing between calls."""

    @property
    def name(self) -> str:
        """What ``uses:`` says to get it."""

    def run(self, params: dict[str, Any], context: Context) -> Any:
        """Return the step's output, or a :class:`Park`.

        Args:
            params: the ``with`` block, its expressions resolved.
            context: the attempt.

        Raises:
            StepError: the attempt failed, with its reason and whether another may go better.
        """


def find(uses: str) -> StepType:
    """Return the step type of that name.

    Raises:
        UnknownStep: this worker has none; another one may.
    """
    try:
        return _types()[uses]
    except KeyError:
        raise UnknownStep(
            f"there is no step type {uses!r} on this worker",
            hint=f"known are {', '.join(names())}; others come by entry points of group {GROUP}",
        ) from None


def has(uses: str) -> bool:
    """Return whether this worker has the step type."""
    return uses in _types()


def added() -> list[str]:
    """Return the step types installed beside the built-in ones as ``type:NAME``, sorted."""
    return sorted(f"{TYPE}{name}" for name in _types() if name not in BUILT_IN)


def names() -> list[str]:
    """Return the names of all step types, sorted."""
    return sorted(_types())


@cache
def _types() -> dict[str, StepType]:
    # Imported here, for the types import Park from this module.
    from engine.steps.http import Http  # noqa: PLC0415
    from engine.steps.python import Python  # noqa: PLC0415
    from engine.steps.sleep import Sleep  # noqa: PLC0415
    from engine.steps.transform import Fail, Transform  # noqa: PLC0415
    from engine.steps.waits import Approval, Child, Signal  # noqa: PLC0415

    built_in: list[StepType] = [
        *(Http(), Python(), Sleep(), Transform(), Fail(), Signal(), Approval(), Child()),
    ]
    installed = [made for entry in entry_points(group=GROUP) if (made := _made(entry)) is not None]
    # A built-in name cannot be taken over: documents rely on what it means.
    return {step_type.name: step_type for step_type in [*installed, *built_in]}


def _made(entry: EntryPoint) -> StepType | None:
    """Return the step type of an entry point; None when it cannot be loaded.

    Its steps then wait for a worker where it can: those of other types must not fail for it.
    """
    try:
        made: StepType = entry.load()()
    except (KeyboardInterrupt, Cut):
        raise  # somebody ends this process, not the step type
    except BaseException as error:
        _log.error("step type %s (%s) cannot be loaded: %s", entry.name, entry.value, why(error))
        return None
    return made
