"""``uses: python``: call a function that the operator installed and registered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from engine.errors import StepError
from engine.registry import find_function
from engine.steps.context import Context
from engine.steps.watchdog import waking


class Python:
    """Calls ``with.function`` with the other parameters as keyword arguments."""

    name = "python"

    def run(self, params: dict[str, Any], context: Context) -> Any:
        """Return what the function returns; a coroutine function runs in a loop of its own.

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
        return run_function(name, function, arguments)


def run_function(name: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Return ``function(**arguments)``, awaited when it is a coroutine function.

    Raises:
        StepError: it tried to end the process, or cancelled itself.
    """
    try:
        if inspect.iscoroutinefunction(function):
            return asyncio.run(_wakeable(function, arguments))
        return function(**arguments)
    except SystemExit as error:
        # Let through, it would end a worker thread without a word.
        raise StepError(
            f"function {name} called exit({error.code}): a step returns or raises",
            hint="raise an exception to fail the attempt",
        ) from error
    except asyncio.CancelledError as error:
        raise StepError(f"function {name} was cancelled by its own code") from error


async def _wakeable(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    loop = asyncio.get_running_loop()
    own = asyncio.current_task()
    assert own is not None
    with waking(lambda: loop.call_soon_threadsafe(own.cancel)):
        return await function(**arguments)


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
