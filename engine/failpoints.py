"""Named places at which a test can make a worker die, fail or stand still.

Nothing is armed unless a test's own module asks for it, and then a place costs its caller one look
at ``armed``::

    if failpoints.armed:
        failpoints.reach("after_commit")
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass

from engine.errors import SettingsError, Unavailable

POINTS = (
    "before_commit",  # all SQL of a turn has run, nothing is committed
    "after_commit",  # committed; the caller has not heard of it
    "between_claim_and_run",
    "after_effect",  # user code has returned, nothing is settled
    "before_enqueue",  # committed; its messages are not sent
    "after_enqueue",  # sent; the message that brought us here is not acknowledged
)
_SPEC = re.compile(
    r"(?P<point>\w+)=(?P<action>kill|raise|sleep:[\d.]+)@(?P<pass>[1-9]\d*)(x(?P<times>\d+))?"
)


@dataclass(frozen=True, slots=True)
class _Action:
    word: str
    at: int  # the pass, counted from 1, that it strikes at
    times: int = 1  # how often: at this pass, at its double, …
    seconds: float = 0


armed: dict[str, _Action] = {}
_passes: Counter[str] = Counter()
_lock = threading.Lock()


def arm(text: str) -> None:
    """Arm the points that ``text`` names, as ``after_commit=kill@3,before_enqueue=sleep:2@1``.

    ``kill`` is SIGKILL to this process, ``raise`` raises Unavailable, ``sleep`` holds the thread;
    each strikes at that pass of this process, and ``@3x4`` at passes 3, 6, 9 and 12.

    Raises:
        SettingsError: a part of it means nothing.
    """
    wanted = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _SPEC.fullmatch(part)
        if match is None or match["point"] not in POINTS:
            raise SettingsError(
                f"ENGINE_FAILPOINTS: {part!r} names no failpoint",
                hint="write POINT=kill|raise|sleep:SECONDS@PASS[xTIMES];"
                f" points are {', '.join(POINTS)}",
            )
        word, _, seconds = match["action"].partition(":")
        at, times = int(match["pass"]), int(match["times"] or 1)
        wanted[match["point"]] = _Action(word, at, times, float(seconds or 0))
    _passes.clear()
    armed.clear()
    armed.update(wanted)


def reach(point: str) -> None:
    """Count a pass of ``point``, and strike if it is the one.

    Raises:
        Unavailable: the point is armed with ``raise`` and this is its pass.
    """
    action = armed.get(point)
    if action is None:
        return
    with _lock:
        _passes[point] += 1
        turn, rest = divmod(_passes[point], action.at)
        strikes = rest == 0 and turn <= action.times
    if not strikes:
        return
    if action.word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action.word == "raise":
        raise Unavailable(f"failpoint {point}: the answer was lost on purpose")
    time.sleep(action.seconds)
