"""Names of people."""

from __future__ import annotations

import re

from engine.errors import Fault, InvalidUser

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


def check_name(name: str) -> None:
    """Refuse a name that could be mistaken for another, or for markup.

    Raises:
        InvalidUser: it has other characters, or too many.
    """
    if not _NAME.fullmatch(name):
        fault = Fault("name", f"{name!r} is no name", "1 to 64 letters, digits and . _ @ + -")
        raise InvalidUser("the user cannot be added", faults=[fault])
