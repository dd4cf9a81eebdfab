"""Ports in addresses. Pure.

The system's resolver keeps the last 16 bits of whatever it is given: asked for port 73650 it would
connect to 8114, where something else may listen.
"""

from __future__ import annotations

import re

LARGEST = 65_535
# Of any URL: name and password, then a host (of IPv6 in brackets), then the port.
_PORT = re.compile(
    r"^[a-z][a-z\d+.-]*://(?>(?:[^@/?#]*@)?)(?:\[[^\]/]*\]|[^:/?#\[]*):([^/?#]*)", re.I
)


def fault_of(url: str) -> str:
    """Return what is wrong with the port that a URL names; empty if it is one, or none is named."""
    found = _PORT.match(url)
    if found is None or not found[1] or is_port(found[1]):
        return ""
    return f"port {found[1]} is none: give one from 1 to {LARGEST}"


def is_port(text: str) -> bool:
    """Return whether the text is a port's number."""
    return bool(re.fullmatch(r"[0-9]{1,5}", text)) and 1 <= int(text) <= LARGEST
