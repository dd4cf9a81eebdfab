"""The tracing of one workflow function: which steps it called, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from engine.authoring.handles import Handle, TracingError, caller, refuse, template
from engine.errors import Fault

_current: ContextVar[Trace | None] = ContextVar("trace", default=None)
_EXAMPLES = {
    "after": "after=[fetch(url)]",
    "handles": "alert.handles(charged)(…)",
    "compensates": "refund.compensates(charged)(…)",
    "at_end": "at_end(cleanup(order))",
    "status_of": "status_of(fetch(url))",
    "error_of": "error_of(fetch(url))",
    "failures_of": "failures_of(charge.map(orders))",
}


class Trace:
    """The document as far as it is known."""

    def __init__(self, workflow: str) -> None:
        self.workflow = workflow
        self.steps: dict[str, dict[str, Any]] = {}
        self.closing: list[str] = []  # the finally steps
        self._lines: dict[str, str] = {}  # of the call that made each step
        self._promises: dict[object, tuple[str, str]] = {}  # calls to come: step and line

    def add(self, name: str, body: Mapping[str, Any]) -> Handle:
        """Put a step into the document and return the handle of its output."""
        if name in self.steps:
            refuse(
                f"step '{name}' is already in workflow '{self.workflow}'",
                f"give this call its own: name='{name}-2'",
            )
        self.steps[name] = {key: value for key, value in body.items() if value is not None}
        self._lines[name] = caller()
        return StepHandle(name, f"{self.place(name)}.output", self)

    def tell(self, step: str, key: str, value: Any) -> None:
        """Put ``key`` into a step that is there already, unless it has one."""
        if key in self.steps[step]:
            refuse(f"step '{step}' has {key} {self.steps[step][key]!r} already", "remove one")
        self.steps[step][key] = value

    def close(self, names: list[str]) -> None:
        """Let the steps called ``names`` run at the very end."""
        for name in names:
            if name in self.closing:
                refuse(f"step '{name}' runs at the end already", "name it once")
            self.closing.append(name)

    def promise(self, step: str) -> object:
        """Return a token for a call of ``step`` that is prepared here, to be kept by the call."""
        token = object()
        self._promises[token] = (step, caller())
        return token

    def keep(self, token: object) -> None:
        """Take note that the call came."""
        self._promises.pop(token, None)

    def finish(self) -> None:
        """Refuse steps that were prepared and never called."""
        for step, line in self._promises.values():
            raise TracingError(
                f"{line}: step {step} is prepared here and never called",
                hint=f"its arguments go into brackets of their own: {step}.when(…)(…)",
            )

    def line_of(self, faults: Iterable[Fault]) -> str | None:
        """Return the line of the step that the first of ``faults`` with one is about."""
        for fault in faults:
            for name, line in self._lines.items():
                if f"{fault.path}.".startswith((f"steps.{name}.", f"steps.{name}[")):
                    return line
        return None

    def place(self, name: str) -> str:
        """Return a step's place in expressions."""
        return f"steps.{name}" if name.isidentifier() else f"steps['{name}']"

    def write(self, value: Any) -> Any:
        """Return ``value`` as the document holds it."""
        self._check_own(value)
        return template(value)

    def names(self, given: object, keyword: str) -> list[str]:
        """Return the names of the steps whose handles ``given`` holds."""
        found = []
        for handle in given if isinstance(given, list | tuple) else [given]:
            if not isinstance(handle, StepHandle):
                refuse(f"{keyword} takes what steps returned", f"write {_EXAMPLES[keyword]}")
            self._check_own(handle)
            found.append(handle._name)
        return found

    def _check_own(self, value: Any) -> None:
        if isinstance(value, dict):
            value = [*value.values()]
        if isinstance(value, list | tuple):
            for entry in value:
                self._check_own(entry)
        elif isinstance(value, Handle) and value._trace is not self:
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
