"""Steps that wait for somebody else: a signal, a person, an execution of another workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.definition import seconds
from engine.definition.uses import MAX_APPROVERS
from engine.errors import StepError
from engine.steps import ApprovalWanted, ChildWanted, Park, SignalWanted
from engine.steps.context import Context

LOOK_BACK = 3600.0  # seconds for which a signal that came early counts, unless the step says so
MAX_WAIT = 366 * 86400.0  # seconds
MAX_CORRELATION = 128
MAX_USER = 64  # characters of a user's name
MAX_TITLE = 1_000  # characters of a title that a list shows of an approval kept elsewhere


def look_back(params: Mapping[str, Any]) -> int:
    """Return for how many µs before it waited an early signal counts, by a step's parameters."""
    given = seconds(params.get("look_back"))
    return int((LOOK_BACK if given is None else given) * 1e6)


class Signal:
    """Waits for a word by name and correlation; its output is the body that was sent."""

    name = "signal"

    def run(self, params: dict[str, Any], context: Context) -> Park:
        """Return what it waits for.

        Raises:
            StepError: the correlation or a duration means nothing.
        """
        given = params.get("correlation")
        # Zero is a number as good as any: only what is not there means none
        correlation = "" if given is None else str(given)
        if len(correlation) > MAX_CORRELATION:
            raise _rejected(
                context, f"with.correlation has over {MAX_CORRELATION} characters", "send a hash"
            )
        if (back := params.get("look_back")) is not None:
            _duration(back, "look_back", context)
        wanted = SignalWanted(params["name"], correlation, look_back(params))
        return Park(_deadline(params, context), wanted)


class Approval:
    """Waits for a person; its output is who approved it, when, and what they filled in."""

    name = "approval"

    def run(self, params: dict[str, Any], context: Context) -> Park:
        """Return what it waits for.

        Raises:
            StepError: what the expressions gave is no title, no list of names or no duration.
        """
        if not isinstance(params["title"], str):
            raise _rejected(context, "with.title is no text")
        if "approvers" in params:
            self._check(params["approvers"], context)
        return Park(_deadline(params, context), ApprovalWanted(params["title"]))

    def _check(self, approvers: Any, context: Context) -> None:
        named = isinstance(approvers, list) and all(isinstance(one, str) for one in approvers)
        if not named or not approvers:
            # An empty list must not mean that everybody may decide.
            raise _rejected(context, "with.approvers is no list of names, or names nobody")
        if len(approvers) > MAX_APPROVERS or max(map(len, approvers)) > MAX_USER:
            raise _rejected(
                context,
                f"with.approvers has more than {MAX_APPROVERS} names, or one of over "
                f"{MAX_USER} characters",
            )


def asks(params: dict[str, Any]) -> dict[str, Any]:
    """Return what lists must know of an approval however large its parameters are: of whom it
    asks what, as far as that is what ``Approval`` takes."""
    title, approvers = params.get("title"), params.get("approvers")
    if not isinstance(approvers, list) or not all(isinstance(one, str) for one in approvers):
        approvers = []
    return {
        "title": title[:MAX_TITLE] if isinstance(title, str) else "",
        "approvers": [name[:MAX_USER] for name in approvers[:MAX_APPROVERS]],
    }


class Child:
    """Starts an execution of another workflow; its output is that execution's."""

    name = "workflow"

    def run(self, params: dict[str, Any], context: Context) -> Park:
        """Return what it starts, and waits for unless it shall not."""
        wait = params.get("wait", True)
        return Park(
            None,
            ChildWanted(
                workflow=params["workflow"],
                input=params.get("input") or {},
                version=params.get("version"),
                wait=wait,
                leaves=params.get("parent_ends", "cancel" if wait else "leave") == "leave",
            ),
        )


def _deadline(params: dict[str, Any], context: Context) -> int | None:
    given = params.get("deadline")
    if given is None:
        return None
    return context.clock() + int(_duration(given, "deadline", context) * 1e6)


def _duration(value: object, key: str, context: Context) -> float:
    found = seconds(value)
    if found is None or found > MAX_WAIT:
        raise _rejected(context, f"with.{key}: {value!r} is no duration of at most 366 days")
    return found


def _rejected(context: Context, message: str, hint: str = "") -> StepError:
    return StepError(
        f"step {context.step}: {message}", reason="rejected_input", retryable=False, hint=hint
    )
