"""Who is behind a proxy: what it says of its caller is believed of trusted ones only. Pure.

A client may send such headers too, and a proxy appends to them. So they are read from the right:
each address was told by the proxy to its right, and counts while that one is trusted.
Source: https://www.rfc-editor.org/rfc/rfc7239
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address

FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-proto")

_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')  # between commas that no quotes hold
_PAIR = re.compile(r'([A-Za-z]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^";,\s]*)')
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from, and by which scheme; as text, for it may be no IP address."""

    address: str
    scheme: str


@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy said of its caller. None: it did not say, or nothing that can be read."""

    address: _Address | None
    scheme: str | None = None


def networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Return addresses and CIDR ranges as networks.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(name) for name in names)


def caller(
    peer: str, scheme: str, headers: Mapping[str, str], trusted: Sequence[Network]
) -> Caller:
    """Return who sent the request.

    Args:
        peer: the address of whoever is connected.
        scheme: of that connection.
        headers: of the request, repeated fields joined by commas.
        trusted: networks of the proxies that are believed.
    """
    near = Caller(peer, scheme)
    address = _address(peer)
    if address is None or not _is_in(address, trusted):
        return near
    told = [
        _farthest(near, hops, trusted) for hops in (_standard(headers), _common(headers)) if hops
    ]
    # A proxy writes one of the two and hands the other on as the client sent it: which one is not
    # known. Whoever forges one is counted with all others of the proxy, never as somebody else.
    return told[0] if told and all(one.address == told[0].address for one in told) else near


def _farthest(near: Caller, hops: Sequence[_Hop], trusted: Sequence[Network]) -> Caller:
    found = near
    for hop in reversed(hops):
        if hop.address is None:
            return found
        found = Caller(str(hop.address), hop.scheme or found.scheme)
        if not _is_in(hop.address, trusted):
            return found
    return found


def _standard(headers: Mapping[str, str]) -> list[_Hop]:
    """Return the hops of ``Forwarded``."""
    hops = []
    for element in _ELEMENT.findall(headers.get("forwarded", "")):
        pairs = {name.lower(): _unquoted(value) for name, value in _PAIR.findall(element)}
        hops.append(_Hop(_address(pairs.get("for", "")), _scheme(pairs.get("proto", ""))))
    return hops


def _common(headers: Mapping[str, str]) -> list[_Hop]:
    """Return the hops of ``X-Forwarded-For`` with ``X-Forwarded-Proto``."""
    named = [one.strip() for one in headers.get("x-forwarded-for", "").split(",") if one.strip()]
    protocols = [one.strip() for one in headers.get("x-forwarded-proto", "").split(",")]
    if len(protocols) != len(named):  # most proxies write one, whatever stood there
        protocols = [protocols[-1]] * len(named)
    return [_Hop(_address(one), _scheme(how)) for one, how in zip(named, protocols, strict=True)]


def _address(text: str) -> _Address | None:
    """Return the address in ``192.0.2.1:80`` or ``[2001:db8::1]:80``, with or without a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _scheme(text: str) -> str | None:
    return text.lower() if text.lower() in _SCHEMES else None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _is_in(address: _Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
