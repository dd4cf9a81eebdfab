"""What a step may be told beside its arguments, and the document keys that say it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict

from engine.authoring.handles import Handle, refuse
from engine.authoring.trace import Trace, current
from engine.expressions import did_you_mean

Duration = str | float  # "30s", or seconds


class StepOptions(TypedDict, total=False):
    """What ``@step`` and ``using()`` take, for any number of calls."""

    attempts: int | None  # how often it is tried at most; 1 means no retry
    backoff: Duration | None  # wait before the second attempt
    factor: float | None  # each further wait is so many times the one before
    max_backoff: Duration | None  # the longest wait
    jitter: bool | None  # draw each wait at random between half of its length and all of it
    on: Iterable[str] | None  # what is tried again, of "error" and "timeout"
    timeout: Duration | None  # of one attempt
    expires: Duration | None  # how long it may be queued
    queue: str | None  # "long" for steps that may take over a minute
    isolation: Literal["thread", "process"] | None  # "process": one of its own, killed if need be
    memory: str | None  # of that process at most, as "512MB"
    cache_ttl: Duration | None  # how long a result is taken again for equal arguments
    cache_key: Any  # what has to be equal instead: a function of some arguments, or a value
    on_failure: Literal["fail", "continue"] | None  # what its failure does to the execution


class WaitOptions(TypedDict, total=False):
    """What ``sleep``, ``wait_for_signal``, ``approval`` and ``fail`` all take."""

    name: str | None  # of the step
    after: Any  # the steps it comes after: what they returned, one or a list
    when: Any  # a condition on handles: skipped unless it holds
    on_failure: Literal["fail", "continue"] | None  # what its failure does to the execution
    handles: Any  # the steps whose failure it is there for, one or a list
    compensates: Any  # the step whose work it undoes


CALL = ("name", "after", "max_parallel", "allow_failures")  # also taken among the arguments
ROLES = ("when", "handles", "compensates")
WAIT = tuple(WaitOptions.__annotations__)
STEP = tuple(StepOptions.__annotations__)
_RETRY = {
    "attempts": "attempts",
    "backoff": "backoff",
    "factor": "factor",
    "max_backoff": "max",
    "jitter": "jitter",
    "on": "on",
}
_SAME = ("timeout", "expires", "queue", "isolation", "memory", "on_failure")


def check(options: Mapping[str, Any], known: Iterable[str], who: str) -> None:
    """Refuse options that are not among ``known``, and values that tracing can tell are wrong."""
    names = tuple(known)
    for name in options:
        if name not in names:
            hint = did_you_mean(name, names) or f"one of {', '.join(names)}"
            refuse(f"{who} has no option '{name}'", hint)
    if options.get("on_failure") not in (None, "fail", "continue"):
        refuse(
            'on_failure= is "fail" or "continue"',
            "a handler says whom it is there for: alert.handles(charged)(…)",
        )
    if options.get("cache_key") is not None and options.get("cache_ttl") is None:
        refuse("cache_key= means nothing without cache_ttl=", 'write cache_ttl="1h" as well')
    if isinstance(options.get("on"), str):
        refuse("on= takes a list", 'write on=["error", "timeout"]')
    check_condition(options.get("when"))


def check_condition(condition: object) -> None:
    """Refuse what is no condition, or was decided for all executions when the body ran."""
    if isinstance(condition, bool) and current() is not None:
        refuse(
            f"when() is given {condition}, not a condition on a handle",
            "is, not, and, or, in decide at once: write x != None, ~x, x & y, x | y",
        )
    if not isinstance(condition, Handle | bool | None):
        refuse("when takes a condition on handles", "write step.when(total > 0)(…)")


def keys_of(options: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of a document's step that say what ``options`` say."""
    cached = {"cache"} if options.get("cache_ttl") is not None else set()
    return frozenset(_keys(options)) | cached


def place(trace: Trace, default: str, body: dict[str, Any], options: Mapping[str, Any]) -> Handle:
    """Put a step with its ``options`` into the document; return the handle of its output.

    Args:
        trace: of the workflow.
        default: the step's name, unless the options give one.
        body: ``uses``, ``with`` and what is computed from the arguments.
        options: as ``check`` lets them pass.
    """
    name = options.get("name") or default
    if not isinstance(name, str):
        refuse("name= takes a text", "write name='second'")
    when = options.get("when")
    served = trace.names(options.get("handles", ()), "handles")
    undone = trace.names(options.get("compensates", ()), "compensates")
    if len(undone) > 1:
        refuse("a step undoes one other", "give each its own: refund.compensates(charged)(…)")
    handle = trace.add(
        name,
        {
            **body,
            "needs": trace.names(options.get("after", ()), "after") or None,
            "when": None if when is None else trace.write(when),
            **_keys(options),
        },
    )
    for step in served:
        trace.tell(step, "on_failure", {"run": name})
    for step in undone:
        trace.tell(step, "compensate", name)
    return handle


def cache(
    trace: Trace, options: Mapping[str, Any], arguments: Any, defaults: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the document's ``cache`` for a call with ``arguments``, or None."""
    ttl, key = options.get("cache_ttl"), options.get("cache_key")
    if ttl is None:
        return None
    if key is None:
        key = arguments
    elif callable(key) and not isinstance(key, Handle):
        given = arguments if isinstance(arguments, dict) else {}
        key = _computed(key, {**defaults, **given})
    return {"key": trace.write(key), "ttl": ttl}


def _computed(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):
        refuse("cache_key= takes a function written in Python", "write lambda order: order.id")
    unknown = [name for name in names if name not in arguments]
    if unknown:
        known = ", ".join(arguments) or "none"
        refuse(
            f"cache_key= asks for '{unknown[0]}', which is no argument of this call",
            f"its arguments: {known}",
        )
    return function(**{name: arguments[name] for name in names})


def _keys(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    retry = {key: given[name] for name, key in _RETRY.items() if name in given}
    if "on" in retry:
        retry["on"] = list(retry["on"])
    found = {name: given[name] for name in _SAME if name in given}
    return {**found, "retry": retry} if retry else found
