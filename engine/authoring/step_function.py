"""``@step``: a function that is a step when a workflow is traced, and itself elsewhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Unpack, overload

from engine import registry
from engine.authoring.calls import AnyStep
from engine.authoring.handles import check_function, refuse
from engine.authoring.options import StepOptions, keys_of

Function = Callable[..., Any]


@overload
def step(function: Function, /) -> Step: ...


@overload
def step(
    *, name: str | None = None, **options: Unpack[StepOptions]
) -> Callable[[Function], Step]: ...


def step(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    **options: Unpack[StepOptions],
) -> Step | Callable[[Function], Step]:
    """Return ``function`` as a step, registered as ``module.qualname``.

    Args:
        function: takes and returns what JSON can carry; ``async def`` is fine.
        name: of the step in a workflow; by default the function's.
        **options: retries (attempts, backoff, factor, max_backoff, jitter, on), limits (timeout,
            expires, memory), where it runs (queue, isolation), and what else `StepOptions` names.

    Raises:
        TracingError: its arguments cannot be named in a document, or an option means nothing.
    """
    if function is None:
        return lambda found: Step(found, name, options)
    return Step(function, name, options)


class Step(AnyStep):
    """A step function. ``fn`` is the function itself, for tests and for other functions."""

    uses = "python"
    reserved = "function"

    def __init__(self, function: Function, name: str | None, options: Mapping[str, Any]) -> None:
        if isinstance(function, staticmethod):
            function = function.__func__
        _check(function)
        self.fn = function
        self.function_name = f"{function.__module__}.{function.__qualname__}".replace(
            ".<locals>", ""
        )
        short = name or function.__name__.lower().lstrip("_")
        super().__init__(short, inspect.signature(function), options)
        functools.update_wrapper(self, function)
        registry.register_step(self.function_name, function, options=keys_of(self.options))

    def outside(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the function's value."""
        return self.fn(*arguments, **named)

    def params(self, arguments: Any, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the function's name and its arguments."""
        if registry.find_function(self.function_name) is not self.fn:
            # Made twice by one decorator or factory: workers would call the last for both.
            refuse(
                f"another function is called {self.function_name} by now",
                "give each its own name, or decorate with functools.wraps",
            )
        return {"function": self.function_name, **arguments}


def _check(function: object) -> None:
    if isinstance(function, AnyStep):
        refuse(f"{function.name} is a step already", "set options for a call with .using(…)")
    check_function(function, "a step")
    written = inspect.unwrap(function)  # type: ignore[arg-type]  # it can be called, we know now
    if inspect.isgeneratorfunction(written) or inspect.isasyncgenfunction(written):
        refuse(f"{written.__name__} yields, and a step gives one value", "return a list")
