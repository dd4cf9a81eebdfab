"""Calling a step: with a condition, options, a role, or once per item.

Calls are typed Any: to a type checker a handle passes for the value that it stands for.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from engine.authoring import options as known
from engine.authoring.handles import Handle, refuse
from engine.authoring.trace import Trace, current

_UNNAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


class AnyStep(ABC):
    """What a workflow calls as a step: a function, an actor, another workflow."""

    uses: str
    reserved: str = ""  # what ``with`` already uses as a name
    own_options: tuple[str, ...] = ()  # of this step type, taken among the arguments too

    def __init__(self, name: str, signature: inspect.Signature, options: Mapping[str, Any]) -> None:
        self.name = name
        self.signature = signature
        self.options = {key: value for key, value in options.items() if value is not None}
        known.check(self.options, known.STEP, f"step {name}")
        for parameter in signature.parameters.values():
            if parameter.kind in _UNNAMED:
                refuse(f"step {name} has unnamed arguments", "steps are called by name")
            if self.reserved and parameter.name == self.reserved:
                refuse(f"step {name} has an argument '{self.reserved}'", "rename it: with uses it")

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
        """Return the step with options of ``@step`` or of a call set; then call it.

        ``name``, ``after``, ``max_parallel`` and ``allow_failures`` may also stand among the
        arguments, but for functions that have arguments of these names themselves.
        """
        return StepCall(self).using(**options)

    def handles(self, *failed: Any) -> StepCall:
        """Return the step so that it runs only when one of ``failed`` fails; then call it."""
        return StepCall(self).handles(*failed)

    def compensates(self, done: Any) -> StepCall:
        """Return the step so that it undoes ``done`` if the execution fails or is cancelled."""
        return StepCall(self).compensates(done)

    @abstractmethod
    def outside(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what a call outside of a workflow gives."""

    @abstractmethod
    def params(self, arguments: Any, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``with`` for a call with ``arguments``, bound, and options of its own."""

    def bind(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the arguments by name, those that were given only."""
        try:
            bound = dict(self.signature.bind(*arguments, **named).arguments)
        except TypeError as error:
            refuse(f"step {self.name}: {error}", f"it takes {self.signature}")
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                bound |= bound.pop(parameter.name, {})
        return bound

    def defaults(self) -> dict[str, Any]:
        """Return the arguments that may be left out, with their values."""
        parameters = self.signature.parameters.values()
        return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step with the options of one call."""

    step: AnyStep
    options: Mapping[str, Any] = field(default_factory=dict)
    promise: object = None  # in the trace, that it will be called

    def when(self, condition: Any) -> StepCall:
        """Return the call so that it is skipped unless ``condition`` holds."""
        if condition is None:
            refuse("when() takes a condition on handles", "write step.when(total > 0)(…)")
        known.check_condition(condition)
        return self._with(when=condition)

    def using(self, **options: Any) -> StepCall:
        """Return the call with options of ``@step`` or of a call set."""
        known.check(
            {**self.step.options, **options},
            (*known.CALL, *self.step.own_options, *known.STEP),
            f"a call of step {self.step.name}",
        )
        return self._with(**options)

    def handles(self, *failed: Any) -> StepCall:
        """Return the call so that it runs only when one of ``failed`` fails."""
        self._in_workflow("handles()")
        if not failed:
            refuse("handles() takes what steps returned", "write alert.handles(charged)(…)")
        return self._with(handles=list(failed))

    def compensates(self, done: Any) -> StepCall:
        """Return the call so that it undoes ``done`` if the execution fails or is cancelled."""
        self._in_workflow("compensates()")
        return self._with(compensates=done)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the handle of a new step while a workflow is traced, else the function's value."""
        trace = current()
        if trace is None:
            skipped = self.options.get("when") is False
            return None if skipped else self.step.outside(arguments, named)
        return self._add(trace, None, arguments, named)

    def map(self, items: Any, *arguments: Any, **named: Any) -> Any:
        """Return the handle of a fan-out: one step run per item, its first argument."""
        trace = self._in_workflow("map()")
        if not isinstance(items, Handle | list | tuple):
            refuse("map() takes a list, or a handle of one", "write step.map(fetch(url))")
        item = Handle("item", trace)
        return self._add(trace, trace.write(items), (item, *arguments), named)

    def _in_workflow(self, what: str) -> Trace:
        trace = current()
        if trace is None:
            self._refuse_outside(what)
        return trace

    def _refuse_outside(self, what: str) -> NoReturn:
        hint = "use a loop here" if what == "map()" else "call it in the workflow's body"
        refuse(f"{self.step.name}.{what} means something in a workflow only", hint)

    def _with(self, **options: Any) -> StepCall:
        trace, promise = current(), self.promise
        if trace is not None and promise is None:
            promise = trace.promise(self.step.name)
        return replace(self, options={**self.options, **options}, promise=promise)

    def _add(
        self, trace: Trace, for_each: Any, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Handle:
        step = self.step
        options = {**step.options, **self.options}
        for name in (*known.CALL, *step.own_options):
            if name in named and name not in step.signature.parameters:
                options[name] = named.pop(name)
        for name in ("max_parallel", "allow_failures"):
            if for_each is None and options.get(name) is not None:
                refuse(f"{name}= is for a fan-out", f"write {step.name}.map(items, {name}=…)")
        bound = step.bind(arguments, named)
        body = {
            "uses": step.uses,
            "with": trace.write(step.params(bound, options)),
            "for_each": for_each,
            "max_parallel": options.get("max_parallel"),
            "allow_failures": options.get("allow_failures"),
            "cache": known.cache(trace, options, bound, step.defaults()),
        }
        trace.keep(self.promise)
        return known.place(trace, step.name, body, options)
