"""What a ready step run asks for, found out before anything is claimed or locked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.codec import decode, encode
from engine.definition import Step
from engine.errors import EngineError, StepError
from engine.expressions import Template
from engine.flow.scope import Scope
from engine.machine.status import Reason
from engine.store.steps import RunRow

MAX_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Call:
    """User code is to be called with these parameters."""

    params: dict[str, Any]
    text: str  # the parameters as JSON


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is to be done, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Expand:
    """A fan-out over these items, each as JSON text."""

    items: list[str]


@dataclass(frozen=True, slots=True)
class Reject:
    """Its own expressions failed: no attempt can help."""

    error: EngineError


Prepared = Call | Skip | Expand | Reject


def prepare(step: Step, run: RunRow, scope: Scope) -> Prepared:
    """Return what ``run`` asks for: evaluates ``when``, ``for_each`` and ``with``."""
    try:
        if run.item < 0:
            if step.needs and run.needs_ran == 0:
                return Skip(Reason.NEEDS_SKIPPED)
            if step.when is not None and not _truth(step, scope):
                return Skip(Reason.CONDITION_FALSE)
            if step.for_each is not None:
                return Expand(_items(step, step.for_each, scope))
        text = encode(_params(step, run, scope))
        # User code gets values of its own: what it changes in place must not be seen by others.
        return Call(decode(text), text)
    except EngineError as error:
        return Reject(error)


def _truth(step: Step, scope: Scope) -> bool:
    assert step.when is not None
    value = step.when.evaluate(scope.values(step.when.steps))
    if not isinstance(value, bool):
        raise StepError(
            f"steps.{step.name}.when: gave {type(value).__name__}, not true or false",
            hint="compare with something, e.g. size(steps.a.output) > 0",
        )
    return value


def _items(step: Step, for_each: Template, scope: Scope) -> list[str]:
    value = for_each.evaluate(scope.values(for_each.steps))
    if not isinstance(value, list):
        raise StepError(f"steps.{step.name}.for_each: gave {type(value).__name__}, not a list")
    if len(value) > MAX_ITEMS:
        raise StepError(
            f"steps.{step.name}.for_each: {len(value)} items are over the limit of {MAX_ITEMS}",
            hint="give each item a slice of the work",
        )
    return [encode(item) for item in value]


def _params(step: Step, run: RunRow, scope: Scope) -> dict[str, Any]:
    if run.item < 0:
        variables = scope.values(step.params.steps)
    else:
        item = None if run.value is None else decode(run.value)
        variables = scope.values(step.params.steps, item=item, index=run.item)
    params: dict[str, Any] = step.params.evaluate(variables)
    return params
