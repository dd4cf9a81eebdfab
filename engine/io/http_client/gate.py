"""Which addresses may be reached: those of the public internet, and what the operator allows."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from engine.errors import OutboundRefused

RESOLVE_SECONDS = 60.0
_resolvers = ThreadPoolExecutor(16, thread_name_prefix="resolver")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Ranges that ``ipaddress.is_global`` lets pass, or that newer tables than Python 3.11's refuse:
# those that embed an IPv4 address could carry a private one.
# Source: https://www.iana.org/assignments/iana-ipv4-special-registry and …-ipv6-special-registry
_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata live here
        "168.63.129.16/32",  # a cloud's host agent behind a public address
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "100::/64",
        "2001::/23",  # Teredo, ORCHID and the like
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")  # all that is handed out; the rest is special


class Gate:
    """Says which addresses may be reached. ``allow`` adds CIDR ranges and host names."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._networks: list[Network] = []
        self._names: set[str] = set()
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(_name(entry))

    def addresses(self, host: str, port: int, *, seconds: float = RESOLVE_SECONDS) -> list[str]:
        """Return the addresses of ``host``, all of them checked, in the resolver's order.

        Raises:
            OutboundRefused: one is private: a name with two faces is not trusted with either.
            TimeoutError: no server of names has answered within ``seconds``.
            OSError: the name does not resolve.
        """
        # In a thread of its own: the system's resolver knows no deadline, and cannot be woken.
        asked = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = asked.result(seconds)
        texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for text in texts:
            if not self.lets(host, ipaddress.ip_address(text)):
                raise OutboundRefused(
                    f"{host} has the address {text}, which is not a public one",
                    hint="the operator can allow it by ENGINE_HTTP_ALLOW (ranges or host names)",
                )
        return texts

    def lets(self, host: str, address: Address) -> bool:
        """Return whether a request to ``host`` may go to ``address``."""
        if _name(host) in self._names:
            return True
        if any(address in network for network in self._networks):
            return True
        return is_public(address)


def is_public(address: Address) -> bool:
    """Return whether ``address`` belongs to the public internet and embeds no other address."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if address.version == 6 and address not in _GLOBAL_V6:
        return False
    return not any(address in network for network in _REFUSED)


def _name(host: str) -> str:
    return host.rstrip(".").lower()
