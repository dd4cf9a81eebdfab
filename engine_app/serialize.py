"""Rows as plain JSON values: times become ISO 8601 with Z, everything else stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from engine.errors import InvalidQuery

_TIMES = frozenset({"at", "last_slot", "until"})


def is_time(name: str) -> bool:
    """Return whether a field of that name holds microseconds."""
    return name in _TIMES or name.endswith("_at")


def iso(micros: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06d}Z"


def micros(text: str | None, name: str) -> int | None:
    """Return a time given as ISO 8601 in microseconds; without a zone it is UTC.

    Raises:
        InvalidQuery: it is no time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidQuery(
            f"{name} is not a time: {text!r}", hint="write it like 2026-01-31T12:00:00Z"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def shape(value: Any) -> Any:
    """Return a row, or several, as plain JSON values. Payloads are not looked into."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _field(field.name, getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shape(part) for part in value]
    return value


def _field(name: str, value: Any) -> Any:
    if is_time(name):
        return None if value is None else iso(value)
    if name == "data" and isinstance(value, dict):
        # An event's payload is ours, not the user's: its times are told like all others.
        return {key: _field(key, part) for key, part in value.items()}
    return shape(value) if name not in ("input", "output", "value", "document") else value
