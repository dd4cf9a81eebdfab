"""The one JSON codec, for storage and for the wire.

What one database or one reader takes and another refuses is refused here, with the path to it:
NaN and infinities (msgspec would write null without a word), NUL (PostgreSQL text cannot hold
it), lone surrogates, keys that are not text, integers beyond 64 bits, nesting beyond 64.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec

from engine.errors import PayloadError
from engine.json_errors import why

MAX_DEPTH = 64
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
# Text with none of these, and with few brackets, cannot hold what `plain` refuses: most texts
# are spared the walk.
_SUSPECT = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|\d{19}")
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def encode(value: Any) -> str:
    """Return ``value`` as JSON text.

    Dataclasses, pydantic models, dates, UUIDs, decimals, paths, enums, tuples and sets become
    plain JSON first (see `plain`).

    Raises:
        PayloadError: with the path to what JSON cannot carry on every database.
    """
    return _encoder.encode(plain(value)).decode()


def decode(text: str | bytes) -> Any:
    """Return the value that JSON ``text`` (UTF-8 when bytes) stands for.

    Raises:
        PayloadError: for text that is not JSON, or holds what `encode` refuses.
    """
    try:
        source = text.decode() if isinstance(text, bytes) else text
        value = _decoder.decode(source)
    except UnicodeError:
        raise PayloadError("the text is not UTF-8", hint="send JSON as UTF-8") from None
    except RecursionError:
        raise PayloadError(f"the value is nested deeper than {MAX_DEPTH} levels") from None
    except msgspec.DecodeError as error:
        raise PayloadError(f"the text is not JSON: {why(source, str(error))}") from None
    if source.count("[") + source.count("{") > MAX_DEPTH or _SUSPECT.search(source):
        return plain(value)
    return value


def decode_strict(text: str | bytes) -> Any:
    """Return the value of JSON ``text`` that people or programs wrote: as ``decode`` does.

    Raises:
        PayloadError: as ``decode``, and for a key that stands twice in one object: of its values
            all but the last would be lost without a word.
    """
    value = decode(text)
    doubled = _find_doubled(text)
    if doubled is not None:
        said = "stands twice in one object"
        raise PayloadError(f"{doubled} {said}", hint="keep one", path=doubled, problem=said)
    return value


class _Doubled(dict[str, Any]):
    """An object in which ``key`` stands twice."""

    key = ""


def _find_doubled(text: str | bytes) -> str | None:
    """Return the path to the first key that stands twice in its object."""
    found: list[_Doubled] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) == len(pairs):
            return entries
        doubled = _Doubled(entries)
        doubled.key = next(key for key, times in Counter(k for k, _ in pairs).items() if times > 1)
        found.append(doubled)
        return doubled

    tree = json.loads(text, object_pairs_hook=once)
    return _path_of_doubled(tree, "") if found else None


def _path_of_doubled(value: Any, path: str) -> str | None:
    if isinstance(value, _Doubled):
        return member(path, value.key)
    pairs: Iterable[tuple[object, Any]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    return next(
        (hit for key, entry in pairs if (hit := _path_of_doubled(entry, member(path, key)))), None
    )


def plain(value: Any, path: str = "") -> Any:
    """Return ``value`` as dicts, lists, text, numbers, booleans and None only.

    Dates become ISO 8601 text, durations their seconds, decimals numbers (text where a number
    would lose digits), sets sorted lists. ``path`` is where ``value`` stands, for the error.

    Raises:
        PayloadError: with the path to what JSON cannot carry.
    """
    try:
        return _plain(value, 0)
    except _Refusal as refusal:
        where = path
        for key in reversed(refusal.keys):
            where = member(where, key)
        said = f"{where or 'the value'} {refusal.problem}"
        raise PayloadError(said, hint=refusal.hint, path=where, problem=refusal.problem) from None


def member(path: str, key: object) -> str:
    """Return the path to ``key`` under ``path``: ``a.b``, ``a[0]`` or ``a["odd key"]``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    text = str(key)
    if _NAME.match(text):
        return f"{path}.{text}" if path else text
    quoted = _encoder.encode(text[:80].encode(errors="replace").decode()).decode()
    return f"{path}[{quoted}]"


class _Refusal(Exception):
    """On its way up each container adds its key, so that paths cost nothing when all is well."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.keys: list[object] = []


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _text(value)
    if kind is int:
        return _integer(value)
    if kind is float:
        return _float(value)
    if depth >= MAX_DEPTH:
        raise _Refusal(f"is nested deeper than {MAX_DEPTH} levels", "flatten it")
    if kind is dict:
        return _object(value, depth)
    if kind is list or kind is tuple:
        return _list(value, depth)
    return _plain(_simpler(value), depth + 1)


def _text(value: str) -> str:
    if "\0" in value:
        raise _Refusal("holds a NUL character", "remove it, or send base64 text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refusal("holds half a character (a lone surrogate)", "decode it first") from None
    return value


def _integer(value: int) -> int:
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise _Refusal("is an integer beyond 64 bits", "send it as text")
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise _Refusal(f"is {value}, which JSON does not have", "use null, or text")
    return value


def _object(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, entry in value.items():
        if type(key) is not str:
            raise _Refusal(f"has a key that is not text ({type(key).__name__})", "use text as keys")
        try:
            result[_text(key)] = _plain(entry, depth + 1)
        except _Refusal as refusal:
            refusal.keys.append(key)
            raise
    return result


def _list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    result: list[Any] = []
    for index, entry in enumerate(value):
        try:
            result.append(_plain(entry, depth + 1))
        except _Refusal as refusal:
            refusal.keys.append(index)
            raise
    return result


def _simpler(value: Any) -> Any:
    """Return ``value`` one move nearer to plain JSON; each branch ends within a few moves."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat() + ("Z" if value.tzinfo else "")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    return _simpler_container(value)


def _simpler_container(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value, key=lambda entry: (type(entry).__name__, str(entry)))
    bases: tuple[Callable[[Any], Any], ...] = (str, int, float, list, tuple)
    for base in bases:
        if isinstance(value, base):  # type: ignore[arg-type]  # they are classes too
            return base(value)
    raise _Refusal(
        f"is a {type(value).__name__}, which JSON cannot carry",
        "return plain values, dataclasses or pydantic models",
    )


def _decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return math.inf if value.is_infinite() else math.nan
    if value == value.to_integral_value() and abs(value) <= MAX_INTEGER:
        return int(value)
    return float(value) if Decimal(str(float(value))) == value else str(value)
