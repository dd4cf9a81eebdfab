"""Which of many steps, items and log lines are on screen, and the ways to the others. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine_app.states.view_models import Bar

SLOTS = 60  # steps on screen
ITEMS = 200  # items on screen
LINES = 250  # log lines on a page of the log
ITEM_STATUSES = ("failed", "running", "retrying", "waiting", "queued", "pending", "completed")
_LONGEST_MEMORY = 4_000  # of a tab, as text
_LONGEST_TEXT = 200
_LARGEST = 2**53 - 1  # that a browser knows exactly


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


@dataclass(frozen=True)
class Recalled:
    """What a tab remembers to have shown of an execution."""

    choice: Choice = Choice()
    log: Page = Page()


def remembered(execution_id: str, choice: Choice, log: Page) -> str:
    """Return what a tab shows, as text that it keeps and that ``recalled`` reads."""
    place = {"text": log.text, "least": log.least, "first": log.first} if log.on else None
    return json.dumps({"of": execution_id, "choice": asdict(choice), "log": place})


def recalled(text: str, execution_id: str) -> Recalled | None:
    """Return what a tab remembers, if it is of this execution; a browser may send anything."""
    try:
        found = json.loads(text[:_LONGEST_MEMORY])
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("of") != execution_id:
        return None
    choice, log = found.get("choice"), found.get("log")
    page = replace(Page(on=True), **_fitting(Page(), log)) if isinstance(log, dict) else Page()
    return Recalled(replace(Choice(), **_fitting(Choice(), choice)), page)


def _fitting(start: Choice | Page, values: Any) -> dict[str, Any]:
    """Return the values that are of the type of the field they are for, within its bounds."""
    found: dict[str, Any] = {}
    for name, value in (values if isinstance(values, dict) else {}).items():
        wanted = type(getattr(start, name, None))
        if wanted is str and isinstance(value, str):
            found[name] = value[:_LONGEST_TEXT]
        elif wanted is int and type(value) is int:
            found[name] = min(max(value, -1), _LARGEST)
    return found
