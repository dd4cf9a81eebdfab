"""What is known of a step beside its output, and of the execution.

Functions, for a field of the output may be called ``status`` or ``error`` too.
"""

from __future__ import annotations

from typing import Any

from engine.authoring.handles import Handle, refuse
from engine.authoring.trace import current


def status_of(step: Any) -> Any:
    """Return the handle of a step's status: "completed", "failed", "skipped" or "cancelled"."""
    return _asked(step, "status")


def error_of(step: Any) -> Any:
    """Return the handle of a failed step's error, ``{message, type, …}``; null when it did not."""
    return _asked(step, "error")


def failures_of(step: Any) -> Any:
    """Return the handle of a fan-out's failed items, each ``{item, message, type}``."""
    return _asked(step, "failures")


class Execution:
    """The execution that a workflow's body is about, while it is traced."""

    @property
    def id(self) -> Any:
        """Return the handle of its id."""
        return _of_execution("id")

    @property
    def workflow(self) -> Any:
        """Return the handle of its workflow's name."""
        return _of_execution("workflow")

    @property
    def outcome(self) -> Any:
        """Return the handle of how it ended, for steps that run at the end."""
        return _of_execution("outcome")

    @property
    def error(self) -> Any:
        """Return the handle of why it failed, ``{message, …}`` or null, for steps at the end."""
        return _of_execution("error")


execution = Execution()


def _of_execution(field: str) -> Handle:
    trace = current()
    if trace is None:
        refuse(f"execution.{field} is known in a workflow only", "inside a step ask context")
    return Handle(f"execution.{field}", trace)


def _asked(step: Any, field: str) -> Handle:
    trace = current()
    if trace is None:
        refuse(f"{field}_of() means something in a workflow only", "call it in the body of one")
    [name] = trace.names([step], f"{field}_of")
    if field == "failures" and "for_each" not in trace.steps[name]:
        refuse(f"step '{name}' is no fan-out: it has no items that fail", "write error_of(…)")
    return Handle(f"{trace.place(name)}.{field}", trace)
