"""The formats of texts: what each takes, and what to write where one does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit
from uuid import UUID

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d+)?)?([zZ]|[+-]([01]\d|2[0-3]):?[0-5]\d)?", re.ASCII
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOMENT = "2027-01-31T08:00:00Z"

Wrong = tuple[str, str]  # what is wrong, and what to write


def fault(name: str, text: str) -> Wrong | None:
    """Return what is wrong with ``text`` as a ``name``, or None; formats not known take all."""
    check = FORMATS.get(name)
    return None if check is None else check(text)


def _moment(text: str) -> Wrong | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return "must be a date and time", f"write {_MOMENT}"
    if found.tzinfo is not None:
        return None
    return "has no time zone", f"write {_MOMENT}, or +01:00 instead of the Z"


def _date(text: str) -> Wrong | None:
    wrong = "must be a date", "write 2027-01-31"
    if not _DATE.fullmatch(text):
        return wrong
    try:
        date.fromisoformat(text)
    except ValueError:
        return wrong
    return None


def _time(text: str) -> Wrong | None:
    return None if _TIME.fullmatch(text) else ("must be a time of day", "write 08:00:00")


def _email(text: str) -> Wrong | None:
    return None if "@" in text else ("must be an email address", "write ada@example.org")


def _uuid(text: str) -> Wrong | None:
    hint = f"write it as {UUID(int=0)}"
    return None if _UUID.fullmatch(text) else ("must be a UUID", hint)


def _uri(text: str) -> Wrong | None:
    wrong = "must be a URI", "write https://example.org/path"
    try:
        return None if urlsplit(text).scheme and " " not in text else wrong
    except ValueError:
        return wrong


def _address(kind: Callable[[str], object], example: str) -> Callable[[str], Wrong | None]:
    def check(text: str) -> Wrong | None:
        try:
            kind(text)
        except ValueError:
            return "must be an IP address", f"write {example}"
        return None

    return check


FORMATS: dict[str, Callable[[str], Wrong | None]] = {
    "date-time": _moment,
    "date": _date,
    "time": _time,
    "email": _email,
    "uuid": _uuid,
    "uri": _uri,
    "ipv4": _address(IPv4Address, "192.0.2.1"),
    "ipv6": _address(IPv6Address, "2001:db8::1"),
}
