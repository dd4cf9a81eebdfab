"""Edges between steps: found in references, added by hand, never in a circle."""

from __future__ import annotations

from collections.abc import Sequence


def invert(needs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the dependants of each step, in order, from the needs of each."""
    dependants: list[list[int]] = [[] for _ in needs]
    for index, wanted in enumerate(needs):
        for need in wanted:
            dependants[need].append(index)
    return dependants


def cycle(needs: Sequence[Sequence[int]]) -> list[int]:
    """Return the steps of one circle in the order they wait for each other, or nothing.

    Steps whose needs are settled are taken away until none is left (Kahn); what stays holds a
    circle, and going from need to need inside it must come back to where it was.
    Source: https://doi.org/10.1145/368996.369025
    """
    waiting = [len(wanted) for wanted in needs]
    dependants = invert(needs)
    settled = [index for index, count in enumerate(waiting) if count == 0]
    while settled:
        for dependant in dependants[settled.pop()]:
            waiting[dependant] -= 1
            if waiting[dependant] == 0:
                settled.append(dependant)
    start = next((index for index, count in enumerate(waiting) if count > 0), None)
    if start is None:
        return []
    seen: dict[int, int] = {}
    trail: list[int] = []
    at = start
    while at not in seen:
        seen[at] = len(trail)
        trail.append(at)
        at = next(need for need in needs[at] if waiting[need] > 0)
    return trail[seen[at] :]
