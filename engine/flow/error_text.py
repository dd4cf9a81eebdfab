"""A described error as text: for pages, a terminal and the log of its attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_RELATIONS = {"cause": "caused by", "context": "while handling", "member": "one of them:"}


def whole(error: Mapping[str, Any] | None) -> str:
    """Return the trace, the notes and all causes of an error, as ``describe_error`` described it.

    Its own type and message are left to the caller. Empty when there is nothing else to tell.
    """
    if not error:
        return ""
    blocks = [_block(error)]
    blocks += [f"{title}\n{_block(cause)}".rstrip() for cause, title in _titled(error)]
    if more := error.get("more_causes"):
        blocks.append(f"and {more} more")
    return "\n\n".join(block for block in blocks if block)


def causes(error: Mapping[str, Any]) -> list[str]:
    """Return one line for each cause: how it led to the error, its type and its message."""
    return [title for _, title in _titled(error)]


def _block(error: Mapping[str, Any]) -> str:
    notes = [f"note: {note}" for note in error.get("notes") or ()]
    return "\n".join([*filter(None, [error.get("trace")]), *notes])


def _titled(error: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    found: Sequence[Mapping[str, Any]] = error.get("causes") or ()
    return [(cause, _title(cause, found)) for cause in found]


def _title(cause: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    said = f"{_RELATIONS[cause['relation']]} {cause['type']}: {cause['message']}"
    under = cause["under"]
    return said if under < 0 else f"{said} (in the {others[under]['type']} above)"
