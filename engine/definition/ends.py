"""What runs when things end: handlers of failures, compensations, finally steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.definition import graph
from engine.definition.faults import Faults
from engine.definition.model import OnFailure
from engine.expressions import Template, did_you_mean

MAX_PAIRS = 100_000  # of steps at the end that wait for each other
_TWO_STEPS = "write two steps: both call one function"
_OUTCOME = ("outcome", "error")  # of the execution


@dataclass(slots=True)
class Ends:
    """Who is there for whom, by index."""

    on_failure: dict[int, OnFailure] = field(default_factory=dict)
    handles: dict[int, list[int]] = field(default_factory=dict)  # handler: the steps it serves
    compensates: dict[int, int] = field(default_factory=dict)  # compensation: the step it undoes
    finally_: list[int] = field(default_factory=list)

    @property
    def handlers(self) -> dict[int, tuple[int, ...]]:
        """For each step that has one, who handles its failure."""
        return {step: (handler,) for handler, served in self.handles.items() for step in served}

    @property
    def closing(self) -> set[int]:
        """The steps that run once all the others are over."""
        return {*self.compensates, *self.finally_}


def read(source: dict[str, Any], indexes: Mapping[str, int], faults: Faults) -> Ends:
    """Return what ``on_failure``, ``compensate`` and ``finally`` of a document say."""
    ends = Ends()
    named = _Names(indexes, faults)
    for name, body in source["steps"].items():
        if isinstance(body, dict) and name in indexes:
            _read_step(f"steps.{name}", indexes[name], body, ends, named)
    given = source.get("finally", [])
    if faults.typed(given, list, "finally", "write [cleanup, notify]"):
        seen: set[int] = set()
        for place, name in enumerate(given):
            index = named.index(name, f"finally[{place}]")
            if index in seen:
                faults.add(f"finally[{place}]", f"'{name}' is there twice", "remove one")
            elif index is not None:
                seen.add(index)
                ends.finally_.append(index)
    _check_roles(ends, list(indexes), faults)
    if len(ends.closing) == len(indexes):
        faults.add("finally", "leaves no step to run before the end", "take one out of it")
    return ends


def check_early(templates: Iterable[Template], faults: Faults) -> None:
    """Keep a fault where what runs before the end asks how its execution ended."""
    for template in templates:
        for reference in template.references:
            root, *fields = reference.path
            if root == "execution" and fields and fields[0] in _OUTCOME:
                what = f"execution.{fields[0]}"
                hint = "ask in a compensation or a finally step; of a step, ask steps.NAME.error"
                faults.add(reference.where, f"'{what}' has no value before the end", hint)


class _Names:
    """Finds steps by name, keeping faults."""

    def __init__(self, indexes: Mapping[str, int], faults: Faults) -> None:
        self.indexes = indexes
        self.faults = faults

    def index(self, name: Any, path: str) -> int | None:
        """Return the step called ``name``, or None after keeping a fault."""
        if isinstance(name, str) and name in self.indexes:
            return self.indexes[name]
        hint = did_you_mean(str(name), self.indexes)
        self.faults.add(path, f"there is no step {name!r}", hint)
        return None


def _read_step(path: str, index: int, body: dict[str, Any], ends: Ends, named: _Names) -> None:
    policy = body.get("on_failure")
    if policy is not None:
        ends.on_failure[index], handler = _policy(policy, f"{path}.on_failure", named)
        if handler is not None:
            ends.handles.setdefault(handler, []).append(index)
    undo = body.get("compensate")
    if undo is not None:
        found = named.index(undo, f"{path}.compensate")
        if found in ends.compensates:
            hint = "write a step for each: both call one function"
            named.faults.add(f"{path}.compensate", f"{undo!r} undoes another step already", hint)
        elif found is not None:
            ends.compensates[found] = index


def _policy(value: Any, path: str, named: _Names) -> tuple[OnFailure, int | None]:
    if value in (OnFailure.FAIL, OnFailure.CONTINUE):
        return OnFailure(value), None
    if isinstance(value, dict) and value.keys() == {"run"}:
        return OnFailure.RUN, named.index(value["run"], f"{path}.run")
    named.faults.add(path, "must be fail, continue or {run: step}", "fail is what happens without")
    return OnFailure.FAIL, None


def _check_roles(ends: Ends, names: Sequence[str], faults: Faults) -> None:
    """A step has one role: it is in the graph, a handler, a compensation or at the end."""
    last, undone = {*ends.finally_}, {*ends.compensates.values()}
    for index in sorted(ends.closing):
        path = f"steps.{names[index]}"
        if index in ends.handles:
            faults.add(
                path, "handles a failure and runs at the end: one step cannot do both", _TWO_STEPS
            )
        if index in ends.compensates and index in last:
            faults.add(
                path, "is a compensation and a finally step: one step cannot be both", _TWO_STEPS
            )
        if index in undone:
            hint = "remove it: only steps that ran before the end are undone"
            faults.add(f"{path}.compensate", "means nothing: it runs at the end itself", hint)
        if ends.on_failure.get(index, OnFailure.FAIL) is OnFailure.RUN:
            hint = "write continue, or let the next one at the end ask for its error"
            faults.add(f"{path}.on_failure", "a step that runs at the end has no handler", hint)
    for handler, served in ends.handles.items():
        if handler in served:
            hint = "name another step; retry: tries this one again"
            faults.add(f"steps.{names[handler]}.on_failure.run", "is the step itself", hint)


def edges(needs: list[list[int]], ends: Ends, names: Sequence[str], faults: Faults) -> None:
    """Make ``needs`` what each phase waits for.

    A handler waits for those it serves. What runs at the end waits for its own kind only: all
    else is over by then. Compensations go in the reverse order of what they undo, and before
    the finally steps.
    """
    for handler, served in ends.handles.items():
        needs[handler] = sorted({*needs[handler], *served})
    closing = ends.closing
    if not closing:
        return
    for index, wanted in enumerate(needs):
        late = [need for need in wanted if need in closing]
        if index in closing:
            needs[index] = late
        elif late:
            faults.add(
                f"steps.{names[index]}",
                f"needs '{names[late[0]]}', which runs only when all the others are over",
                "what needs it can only run at the end as well: name it in finally",
            )
    if faults.found:
        return
    undoing = set(ends.compensates)
    later = _nearest_later(needs, ends)
    pairs = sum(found.bit_count() for found in later.values()) + len(ends.finally_) * len(undoing)
    if pairs > MAX_PAIRS:
        problem = f"has {pairs} pairs of steps at the end of which one waits for the other"
        faults.add("steps", problem, f"over the limit of {MAX_PAIRS}: compensate fewer steps")
        return
    undone_by = list(ends.compensates)
    for undo, step in ends.compensates.items():
        needs[undo] = sorted({*needs[undo], *(undone_by[bit] for bit in _bits(later[step]))})
    for index in ends.finally_:
        needs[index] = sorted({*needs[index], *undoing})


def _nearest_later(needs: Sequence[Sequence[int]], ends: Ends) -> dict[int, int]:
    """Return, for each step with a compensation, those that follow with no other one between.

    They are bits of a number, by their place in ``ends.compensates``: with lists of them, a
    document of a thousand lines could take minutes. What is in a circle is left out.
    """
    marked = {step: 1 << place for place, step in enumerate(ends.compensates.values())}
    following = [0] * len(needs)
    waiting = [len(dependants) for dependants in graph.invert(needs)]
    settled = [index for index, count in enumerate(waiting) if count == 0]
    while settled:
        at = settled.pop()
        seen = marked.get(at, following[at])
        for need in needs[at]:
            following[need] |= seen
            waiting[need] -= 1
            if waiting[need] == 0:
                settled.append(need)
    return {step: following[step] for step in marked}


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
