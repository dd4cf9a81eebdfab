"""Which tab is whose. What is kept of a tab is found by its session and its token together.

The token alone opens nothing: it stands in the address of the live channel, which proxies log.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

# Tabs without a socket that are kept for when it is back; each takes some 70 kB.
AWAY_OF_A_SESSION = 20
AWAY = 500


@dataclass(slots=True)
class Tab:
    """One tab of one session."""

    session: str  # the digest of the session's secret
    token: str  # what the tab calls itself
    ident: str = field(default_factory=lambda: uuid.uuid4().hex)  # what its memory is kept under
    sid: str = ""  # its socket; empty while it has none
    place: str = "/"  # the page it shows


class Tabs:
    """The tabs that something is kept of. Of the event loop's thread only, but for ``over``.

    Attributes:
        listener: is told which sessions are over, in the thread that found out.
    """

    def __init__(self) -> None:
        self.listener: Callable[[str], None] = lambda session: None
        self._by_name: dict[tuple[str, str], Tab] = {}
        self._by_ident: dict[str, Tab] = {}
        self._away: OrderedDict[str, Tab] = OrderedDict()

    def arrive(self, session: str, token: str, sid: str) -> Tab:
        """Return the tab that the socket belongs to, which is there from now on.

        A token that another socket of the session holds is a copy's: it gets one of its own.
        """
        tab = self._by_name.get((session, token))
        if tab is not None and tab.sid not in ("", sid):
            tab, token = None, str(uuid.uuid4())
        if tab is None:
            tab = Tab(session, token)
            self._by_name[session, token] = self._by_ident[tab.ident] = tab
        tab.sid = sid
        self._away.pop(tab.ident, None)
        return tab

    def leave(self, ident: str) -> list[Tab]:
        """Note that the tab has no socket any more; return those that are dropped for it."""
        tab = self._by_ident.get(ident)
        if tab is None:
            return []
        tab.sid = ""
        self._away[ident] = tab
        ours = [one for one in self._away.values() if one.session == tab.session]
        dropped = ours[: max(0, len(ours) - AWAY_OF_A_SESSION)]
        dropped = dropped or list(self._away.values())[: max(0, len(self._away) - AWAY)]
        return [self._drop(one) for one in dropped]

    def end(self, session: str) -> list[Tab]:
        """Drop all tabs of a session that is over, and return them."""
        ended = [tab for tab in self._by_ident.values() if tab.session == session]
        return [self._drop(tab) for tab in ended]

    def over(self, session: str) -> None:
        """Say that a session is over."""
        self.listener(session)

    def find(self, ident: str) -> Tab | None:
        """Return the tab whose memory is kept under ``ident``, until it is dropped."""
        return self._by_ident.get(ident)

    def sessions(self) -> frozenset[str]:
        """Return the sessions of the tabs that have a socket."""
        return frozenset(tab.session for tab in self._by_ident.values() if tab.sid)

    def _drop(self, tab: Tab) -> Tab:
        del self._by_ident[tab.ident], self._by_name[tab.session, tab.token]
        self._away.pop(tab.ident, None)
        return tab


tabs = Tabs()
