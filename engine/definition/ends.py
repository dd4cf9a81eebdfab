"""What runs when things end: handlers of failures, compensations, finally steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.definition.faults import Faults
from engine.definition.model import OnFailure
from engine.expressions import did_you_mean


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
        for place, name in enumerate(given):
            index = named.index(name, f"finally[{place}]")
            if index is not None:
                ends.finally_.append(index)
    _check_roles(ends, list(indexes), faults)
    return ends


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
            named.faults.add(f"{path}.compensate", f"{undo!r} undoes another step already")
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
    for index in sorted(ends.closing):
        path = f"steps.{names[index]}"
        if index in ends.handles:
            faults.add(path, "handles a failure and runs at the end: one step cannot do both")
        if index in ends.compensates and index in ends.finally_:
            faults.add(path, "is a compensation and a finally step: one step cannot be both")
        if index in ends.compensates.values():
            faults.add(f"{path}.compensate", "means nothing: it runs at the end itself")
        if ends.on_failure.get(index, OnFailure.FAIL) is OnFailure.RUN:
            faults.add(f"{path}.on_failure", "a step that runs at the end has no handler")
    for handler, served in ends.handles.items():
        if handler in served:
            faults.add(f"steps.{names[handler]}.on_failure.run", "is the step itself")


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
            )
    if faults.found:
        return
    _order_compensations(needs, ends)
    undoing = set(ends.compensates)
    for index in ends.finally_:
        needs[index] = sorted({*needs[index], *undoing})


def _order_compensations(needs: list[list[int]], ends: Ends) -> None:
    undone_by = {step: undo for undo, step in ends.compensates.items()}
    dependants: list[list[int]] = [[] for _ in needs]
    for index, wanted in enumerate(needs):
        for need in wanted:
            dependants[need].append(index)
    for undo, step in ends.compensates.items():
        later = _nearest(step, dependants, undone_by)
        needs[undo] = sorted({*needs[undo], *(undone_by[found] for found in later)} - {undo})


def _nearest(step: int, dependants: list[list[int]], marked: Mapping[int, int]) -> list[int]:
    """Return the marked steps that follow ``step`` with no other marked one between."""
    found, seen, trail = [], {step}, list(dependants[step])
    while trail:
        at = trail.pop()
        if at in seen:
            continue
        seen.add(at)
        if at in marked:
            found.append(at)
        else:
            trail += dependants[at]
    return found
