"""Where requests may come from: the Host they name and the Origin they are sent by. Pure.

A page of another site can make a browser send a form here with the cookie (CSRF), and can point
its own name at this address (DNS rebinding). The first is told by ``Origin`` and
``Sec-Fetch-Site``, which pages cannot forge, the second by ``Host``.
Source: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from engine.settings import Settings

_DEFAULT_PORTS = {"http": 80, "https": 443}


def allowed_origins(settings: Settings) -> frozenset[str]:
    """Return the origins of our own pages: this machine's, and those that the settings name."""
    here = {f"http://{host}:{settings.port}" for host in ("127.0.0.1", "localhost", "[::1]")}
    named = {*settings.allowed_origins, settings.origin}
    return frozenset(here | {_plain(origin) for origin in named})


def _plain(origin: str) -> str:
    """Return the origin as browsers write it: lower case, without the default port."""
    parts = urlsplit(origin.strip().rstrip("/"))
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{shown}"
    return f"{scheme}://{shown}:{parts.port}"


def allowed_hosts(origins: frozenset[str]) -> frozenset[str]:
    """Return the values of ``Host`` that go with the origins."""
    return frozenset(origin.split("://", 1)[1] for origin in origins)


def is_ours(headers: Mapping[str, str], origins: frozenset[str]) -> bool:
    """Return whether a browser says that one of our own pages sent the request."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() in origins
    return headers.get("sec-fetch-site") == "same-origin"
