"""``uses: python``: call a function that the operator installed and registered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any

from engine.errors import StepError
from engine.registry import find_function
from engine.steps import event_loop
from engine.steps.context import Context


class Python:
    """Calls ``with.function`` with the other parameters as keyword arguments."""

    name = "python"

    def __init__(
        self, run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] = event_loop.run
    ) -> None:
        self._run_coroutine = run_coroutine

    def run(self, params: dict[str, Any], context: Context) -> Any:
        """Return what the function returns; a coroutine function runs on the process's loop.

        Raises:
            UnknownStep: this worker has no such function.
            StepError: the arguments do not fit, or the function tried to end the process.
        """
        arguments = dict(params)
        name = arguments.pop("function", None)
        if not isinstance(name, str):
            raise _rejected(f"step {context.step}: with.function must name a function", "")
        function = find_function(name)
        _check_arguments(context.step, name, function, arguments)
        return self._call(name, function, arguments)

    def _call(self, name: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        try:
            if inspect.iscoroutinefunction(function):
                return self._run_coroutine(function(**arguments))
            return function(**arguments)
        except SystemExit as error:
            # As a mistake in the step, with the word that helps.
            raise StepError(
                f"function {name} called exit({error.code}): a step returns or raises",
                hint="raise an exception to fail the attempt",
            ) from error
        except asyncio.CancelledError as error:
            raise StepError(f"function {name} was cancelled by its own code") from error


def _check_arguments(
    step: str, name: str, function: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    signature = _signature(function)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        # Before the call: a TypeError out of the function itself is the function's own failure.
        raise _rejected(
            f"step {step}: function {name} cannot be called: {error}",
            f"it takes {signature}, with gives {', '.join(arguments) or 'nothing'}",
        ) from None


@lru_cache(maxsize=1024)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _rejected(message: str, hint: str) -> StepError:
    return StepError(message, reason="rejected_input", retryable=False, hint=hint)
