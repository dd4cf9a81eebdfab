"""Which of many steps, items and log lines are on screen, and the ways to the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine_app.states.shapes import Bar

SLOTS = 60  # steps on screen
ITEMS = 200  # items on screen
LINES = 250  # log lines on a page of the log
ITEM_STATUSES = ("failed", "running", "retrying", "waiting", "queued", "pending", "completed")


@dataclass(frozen=True)
class Choice:
    """What of an execution a tab shows."""

    step: str = ""  # none chosen: the one that tells most
    item: int = -1  # of the step; -1: the step itself
    find: str = ""  # in the names of steps
    only: str = ""  # steps of that status
    page: int = -1  # of the steps; -1: the page with the chosen step
    items_only: str = ""  # items of that status
    items_from: int = 0


@dataclass(frozen=True)
class Tally:
    """How many steps have a status."""

    status: str = ""
    count: int = 0


@dataclass(frozen=True)
class Steps:
    """Which steps are on screen. Ways that are not there are -1."""

    total: int = 0
    found: int = 0
    first: int = 0  # from 1
    last: int = 0
    before: int = -1
    after: int = -1
    find: str = ""
    only: str = ""
    tally: list[Tally] = field(default_factory=list)


def steps(bars: Sequence[Bar], choice: Choice, picked: str) -> tuple[list[Bar], Steps]:
    """Return the rows on screen, filled up to ``SLOTS`` with empty ones, and where they are.

    Args:
        picked: the step whose values are shown.
    """
    find = choice.find.lower()
    found = [bar for bar in bars if find in bar.name.lower() and choice.only in ("", bar.status)]
    page = _page(found, choice.page, picked)
    first = page * SLOTS
    shown = found[first : first + SLOTS]
    tally = Counter(bar.status for bar in bars)
    told = Steps(
        total=len(bars),
        found=len(found),
        first=first + 1 if shown else 0,
        last=first + len(shown),
        before=page - 1,
        after=page + 1 if first + SLOTS < len(found) else -1,
        find=choice.find,
        only=choice.only,
        tally=[Tally(status, count) for status, count in sorted(tally.items())],
    )
    return [*shown, *[Bar()] * (SLOTS - len(shown))], told


def _page(found: Sequence[Bar], asked: int, picked: str) -> int:
    if asked < 0:
        place = next((at for at, bar in enumerate(found) if bar.name == picked), 0)
        return place // SLOTS
    return min(asked, max(0, (len(found) - 1) // SLOTS))


@dataclass(frozen=True)
class Items:
    """Which items of a fan-out are on screen. Ways that are not there are -1."""

    total: int = 0
    told: str = ""
    before: int = -1
    after: int = -1
    only: str = ""


def items(total: int, choice: Choice, shown: Sequence[int], *, more: bool) -> Items:
    """Return where the items with the numbers ``shown`` are among all."""
    word = f"{choice.items_only} items" if choice.items_only else "items"
    if shown:
        told = f"{word} {shown[0]:,} to {shown[-1]:,} of {total:,}"
    else:
        told = f"no {word} from {choice.items_from:,} on"
    # How far back a page of a filter reaches is not known: its way back leads to the beginning.
    back = 0 if choice.items_only else max(choice.items_from - ITEMS, 0)
    return Items(
        total=total,
        told=told,
        before=back if choice.items_from > 0 else -1,
        after=shown[-1] + 1 if more else -1,
        only=choice.items_only,
    )


def left_out(asks: int, decisions: int, *, most: int) -> list[str]:
    """Return what the page says when it shows ``most`` of what waits, or of what was decided."""
    said = []
    if asks > most:
        said.append(
            f"More than {most} steps or items wait for a word from outside; {most} of them are "
            "shown. Others come up as these are answered; Approvals lists all that wait for you."
        )
    if decisions > most:
        said.append(f"The first {most} decisions are shown; the download of it all has the others.")
    return said


@dataclass(frozen=True)
class Page:
    """A page of the log, which stands still; ``on`` while it is shown instead of the tail."""

    on: bool = False
    text: str = ""
    least: str = ""
    told: str = ""
    first: int = 0
    last: int = 0
    earlier: bool = False
    later: bool = False
