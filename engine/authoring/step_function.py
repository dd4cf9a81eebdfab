"""``@step``: a function that is a step when a workflow is traced, and itself elsewhere.

Calls are typed Any: to a type checker a handle passes for the value that it stands for.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, overload

from engine import registry
from engine.authoring.handles import Handle, refuse
from engine.authoring.trace import Trace, current

Function = Callable[..., Any]
_NO_JSON = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
_OPTIONS = ("name", "after", "max_parallel")


@overload
def step(function: Function, /) -> Step: ...


@overload
def step(
    *,
    name: str | None = None,
    attempts: int | None = None,
    backoff: str | float | None = None,
    factor: float | None = None,
    max_backoff: str | float | None = None,
    jitter: bool | None = None,
    on: Iterable[str] | None = None,
    timeout: str | float | None = None,
    queue: str | None = None,
) -> Callable[[Function], Step]: ...


def step(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    attempts: int | None = None,
    backoff: str | float | None = None,
    factor: float | None = None,
    max_backoff: str | float | None = None,
    jitter: bool | None = None,
    on: Iterable[str] | None = None,
    timeout: str | float | None = None,
    queue: str | None = None,
) -> Step | Callable[[Function], Step]:
    """Return ``function`` as a step, registered as ``module.qualname``.

    Args:
        function: takes and returns what JSON can carry; ``async def`` is fine.
        name: of the step in a workflow; by default the function's.
        attempts: how often it is tried at most; 1 means no retry.
        backoff: wait before the second attempt, as "500ms", "2m" or seconds.
        factor: each further wait is so many times the one before.
        max_backoff: the longest wait.
        jitter: draw each wait at random between half of its length and all of it.
        on: what is tried again, of "error" and "timeout".
        timeout: of one attempt, as "30s" or seconds.
        queue: "long" for steps that may take over a minute.

    Raises:
        TracingError: its arguments cannot be named in a document.
    """
    retry = {
        "attempts": attempts,
        "backoff": backoff,
        "factor": factor,
        "max": max_backoff,
        "jitter": jitter,
        "on": None if on is None else list(on),
    }
    options = {
        "retry": {key: value for key, value in retry.items() if value is not None} or None,
        "timeout": timeout,
        "queue": queue,
    }
    if function is None:
        return lambda found: Step(found, name, options)
    return Step(function, name, options)


class Step:
    """A step function. ``fn`` is the function itself, for tests and for other functions."""

    def __init__(self, function: Function, name: str | None, options: dict[str, Any]) -> None:
        self.fn = function
        self.function_name = f"{function.__module__}.{function.__qualname__}".replace(
            ".<locals>", ""
        )
        self.name = name or function.__name__.lower().lstrip("_")
        self.options = options
        self.signature = inspect.signature(function)
        self._check_parameters()
        functools.update_wrapper(self, function)
        registry.register_step(self.function_name, function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the handle of a new step while a workflow is traced, else the function's value."""
        return StepCall(self)(*arguments, **named)

    def map(self, items: Any, *arguments: Any, **named: Any) -> Any:
        """Return the handle of a fan-out: one step run per item, its first argument."""
        return StepCall(self).map(items, *arguments, **named)

    def when(self, condition: Any) -> StepCall:
        """Return the step so that it is skipped unless ``condition`` holds; then call it."""
        return StepCall(self).when(condition)

    def using(self, **options: Any) -> StepCall:
        """Return the step with ``name``, ``after`` or ``max_parallel`` set; then call it.

        For functions that have arguments of these names themselves.
        """
        return StepCall(self).using(**options)

    def _check_parameters(self) -> None:
        for parameter in self.signature.parameters.values():
            if parameter.kind in _NO_JSON:
                refuse(f"step {self.name} has unnamed arguments", "steps are called by name")
            if parameter.name == "function":
                refuse(f"step {self.name} has an argument 'function'", "rename it: with uses it")


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step with the options of one call."""

    step: Step
    condition: Any = None
    options: tuple[tuple[str, Any], ...] = ()

    def when(self, condition: Any) -> StepCall:
        """Return the call so that it is skipped unless ``condition`` holds."""
        if not isinstance(condition, Handle | bool):
            refuse("when() takes a condition on handles", "write step.when(total > 0)(…)")
        return replace(self, condition=condition)

    def using(self, **options: Any) -> StepCall:
        """Return the call with ``name``, ``after`` or ``max_parallel`` set."""
        for name in options:
            if name not in _OPTIONS:
                refuse(f"a call has no option '{name}'", f"one of {', '.join(_OPTIONS)}")
        return replace(self, options=(*self.options, *options.items()))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the handle of a new step while a workflow is traced, else the function's value."""
        trace = current()
        if trace is None:
            return self.step.fn(*arguments, **named)
        return self._add(trace, None, arguments, named)

    def map(self, items: Any, *arguments: Any, **named: Any) -> Any:
        """Return the handle of a fan-out: one step run per item, its first argument."""
        trace = current()
        if trace is None:
            refuse(f"{self.step.name}.map() fans out in a workflow only", "use a loop here")
        if not isinstance(items, Handle | list | tuple):
            refuse("map() takes a list, or a handle of one", "write step.map(fetch(url))")
        item = Handle("item", trace)
        return self._add(trace, trace.write(items), (item, *arguments), named)

    def _add(
        self, trace: Trace, for_each: Any, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Handle:
        options = dict(self.options)
        for name in _OPTIONS:
            if name in named and name not in self.step.signature.parameters:
                options[name] = named.pop(name)
        body = {
            "uses": "python",
            "with": {"function": self.step.function_name}
            | {name: trace.write(value) for name, value in self._bind(arguments, named).items()},
            "needs": trace.names(options.get("after", ())) or None,
            "when": None if self.condition is None else trace.write(self.condition),
            "for_each": for_each,
            "max_parallel": options.get("max_parallel"),
            **self.step.options,
        }
        return trace.add(options.get("name") or self.step.name, body)

    def _bind(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = dict(self.step.signature.bind(*arguments, **named).arguments)
        except TypeError as error:
            refuse(f"step {self.step.name}: {error}", f"it takes {self.step.signature}")
        for parameter in self.step.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                bound |= bound.pop(parameter.name, {})
        return bound


def sleep(
    duration: str | float | Handle | None = None,
    *,
    until: str | Handle | None = None,
    name: str = "sleep",
    after: Any = (),
) -> Handle:
    """Return the handle of a step that waits without holding a worker.

    Args:
        duration: how long, as "90s", "1h30m" or seconds.
        until: a time with its zone instead, as 2027-01-31T08:00:00Z.
        name: of the step; two waits in one workflow need two.
        after: the steps it comes after.

    Raises:
        TracingError: outside a workflow, or with neither or both of duration and until.
    """
    trace = current()
    if trace is None:
        refuse("sleep() waits in a workflow only", "inside a step use time.sleep")
    if (duration is None) == (until is None):
        refuse("sleep() takes a duration or until=", 'write sleep("90s", after=[…])')
    params = {"for": duration} if until is None else {"until": until}
    return trace.add(
        name, {"uses": "sleep", "with": trace.write(params), "needs": trace.names(after) or None}
    )
