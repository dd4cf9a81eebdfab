"""The tracing of one workflow function: which steps it called, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from engine.authoring.handles import Handle, refuse, template

_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


class Trace:
    """The document as far as it is known."""

    def __init__(self, workflow: str) -> None:
        self.workflow = workflow
        self.steps: dict[str, dict[str, Any]] = {}

    def add(self, name: str, body: Mapping[str, Any]) -> Handle:
        """Put a step into the document and return the handle of its output."""
        if name in self.steps:
            refuse(
                f"step '{name}' is already in workflow '{self.workflow}'",
                f"give this call its own: name='{name}-2'",
            )
        self.steps[name] = {key: value for key, value in body.items() if value is not None}
        place = f"steps.{name}" if name.isidentifier() else f"steps['{name}']"
        return StepHandle(name, f"{place}.output", self)

    def write(self, value: Any) -> Any:
        """Return ``value`` as the document holds it."""
        self._check_own(value)
        return template(value)

    def names(self, after: object) -> list[str]:
        """Return the names of the steps whose handles ``after`` holds."""
        given = list(after) if isinstance(after, list | tuple) else [after]
        found = []
        for handle in given:
            if not isinstance(handle, StepHandle):
                refuse("after= takes what steps returned", "write after=[fetch(url)]")
            self._check_own(handle)
            found.append(handle._name)
        return found

    def _check_own(self, value: Any) -> None:
        if isinstance(value, Handle) and value._trace is not self:
            refuse("a handle of another workflow is used here", "call the step in this one")


class StepHandle(Handle):
    """The output of a whole step, which ``after=`` takes too."""

    __slots__ = ("_name",)
    _name: str

    def __init__(self, name: str, text: str, trace: Trace) -> None:
        super().__init__(text, trace)
        object.__setattr__(self, "_name", name)


def current() -> Trace | None:
    """Return the trace that is being made in this thread, or None."""
    return _current.get()


@contextmanager
def tracing(workflow: str) -> Iterator[Trace]:
    """Make calls of steps go into a new trace, for the duration of the block."""
    trace = Trace(workflow)
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
