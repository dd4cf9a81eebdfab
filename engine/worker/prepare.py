"""What a ready step run asks for, found out before anything is claimed or locked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.codec import decode, encode
from engine.core.status import Reason, StepStatus
from engine.definition import Step
from engine.errors import EngineError, StepError, Unavailable
from engine.expressions import Template
from engine.flow.expression_scope import Scope
from engine.io.payloads import reference
from engine.steps.waits import Approval, asks
from engine.store.writes.result_cache import Keep, key_of
from engine.store.writes.step_runs import RunRow

MAX_ITEMS = 20_000
LARGEST_INPUT = 4096  # characters; thousands of items hold theirs before they are begun
_FAILED, _COMPLETED = StepStatus.FAILED.value, StepStatus.COMPLETED.value
_BROKEN = (Reason.TOO_LARGE, Reason.PAYLOAD_LOST)


@dataclass(frozen=True, slots=True)
class Call:
    """User code is to be called with these parameters."""

    params: dict[str, Any]
    text: str  # the parameters as JSON, or a reference to them
    keep: Keep | None = None  # where its result is kept for others


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is to be done, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Expand:
    """A fan-out over these items, each as its row will hold it."""

    items: list[str]


@dataclass(frozen=True, slots=True)
class Reject:
    """Its own expressions failed: no attempt can help."""

    error: EngineError


@dataclass(frozen=True, slots=True)
class Broken:
    """What it needs is lost, or too large to be kept: an attempt that fails before its code."""

    error: EngineError


Prepared = Call | Skip | Expand | Reject | Broken


def prepare(step: Step, run: RunRow, scope: Scope) -> Prepared:
    """Return what ``run`` asks for: evaluates ``when``, ``for_each`` and ``with``.

    Raises:
        Unavailable: the database or the payload store does not answer.
    """
    try:
        if run.item < 0:
            if step.handles and not any(scope.status(need) == _FAILED for need in step.handles):
                return Skip(Reason.NOT_NEEDED)
            if step.compensates is not None and scope.status(step.compensates) != _COMPLETED:
                return Skip(Reason.NOT_NEEDED)
            # What runs at the end is only put in order by what it needs.
            if step.needs and run.needs_ran == 0 and not step.closing:
                return Skip(Reason.NEEDS_SKIPPED)
            if step.when is not None and not _truth(step, scope):
                return Skip(Reason.CONDITION_FALSE)
            if step.for_each is not None:
                return Expand(_items(step, step.for_each, run, scope))
        params = _filled_in(step.params, run, scope)
        text, about = encode(params), asks(params) if step.uses == Approval.name else None
        kept = scope.keep(text, run, "input", f"steps.{step.name}: its parameters", about)
        # User code gets values of its own: what it changes in place must not be seen by others.
        return Call(decode(text), kept, _keep(step, run, scope))
    except Unavailable:
        raise  # that says nothing of the expression: it is to be evaluated again
    except EngineError as error:
        broken = isinstance(error, StepError) and error.reason in _BROKEN
        return Broken(error) if broken else Reject(error)


def _truth(step: Step, scope: Scope) -> bool:
    assert step.when is not None
    value = step.when.evaluate(scope.values(step.when.steps))
    if not isinstance(value, bool):
        raise StepError(
            f"steps.{step.name}.when: gave {type(value).__name__}, not true or false",
            hint="compare with something, e.g. size(steps.a.output) > 0",
        )
    return value


def _items(step: Step, for_each: Template, run: RunRow, scope: Scope) -> list[str]:
    value = for_each.evaluate(scope.values(for_each.steps))
    if not isinstance(value, list):
        raise StepError(f"steps.{step.name}.for_each: gave {type(value).__name__}, not a list")
    if len(value) > MAX_ITEMS:
        raise StepError(
            f"steps.{step.name}.for_each: {len(value)} items are over the limit of {MAX_ITEMS}",
            hint="give each item a slice of the work",
        )
    whose = f"steps.{step.name}.for_each"
    return [
        scope.keep(encode(item), run, f"value-{index}", f"{whose}: item {index}")
        for index, item in enumerate(value)
    ]


def _filled_in(template: Template, run: RunRow, scope: Scope) -> Any:
    if run.item < 0:
        return template.evaluate(scope.values(template.steps))
    item = None if run.value is None else decode(scope.whole(run.value, f"item {run.item}"))
    return template.evaluate(scope.values(template.steps, item=item, index=run.item))


def input_of_item(step: Step, item: int, value: str, scope: Scope) -> str | None:
    """Return the parameters of an item as JSON text, found out as its row is made.

    None where that is left to whoever claims it: they are large, or fail on this item.

    Raises:
        Unavailable: the database or the payload store does not answer.
    """
    if reference(value) is not None or len(value) > LARGEST_INPUT:
        return None
    variables = scope.values(step.params.steps, item=decode(value), index=item)
    try:
        text = encode(step.params.evaluate(variables))
    except EngineError:
        return None
    return text if len(text) <= LARGEST_INPUT else None


def _keep(step: Step, run: RunRow, scope: Scope) -> Keep | None:
    if step.cache is None:
        return None
    value = _filled_in(step.cache.key, run, scope)
    key = key_of(scope.workflow_id, step.name, step.function or step.uses, value)
    return Keep(key, int(step.cache.ttl * 1e6))
