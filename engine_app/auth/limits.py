"""How many sign-ins are heard: by account with address, by address, by account."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from engine.errors import RateLimited, Unauthenticated

WINDOW = 300.0  # seconds an attempt counts
PER_PAIR = 10
_PER_ADDRESS = 50
# High: whoever knows a name must not be able to keep its owner out from elsewhere.
_PER_ACCOUNT = 200
_KEPT = 10_000  # keys: names are chosen by the attacker, memory is not theirs to fill
_NETWORK = 64  # bits of an IPv6 address that a provider gives away as one

_Key = tuple[str, str]


class Limits:
    """Counts of recent attempts in this process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._attempts: OrderedDict[_Key, deque[float]] = OrderedDict()

    @contextmanager
    def attempt(self, account: str, address: str) -> Iterator[None]:
        """Let the block try to sign in; what it raises tells what comes of it.

        The attempt counts from its beginning, or those that are made at once would all be heard.
        ``Unauthenticated`` leaves it counted. Success forgets it, and all failures of the account
        from this address: a person found the right password. Anything else takes it back: it was
        not heard.

        Raises:
            RateLimited: there were too many of late.
        """
        keys = _keys(account, address)
        begun = self._begin(keys)
        try:
            yield
        except Unauthenticated:
            raise
        except BaseException:
            self._take_back(keys, begun)
            raise
        self._take_back(keys, begun)
        with self._lock:
            self._attempts.pop(keys[0][0], None)

    def _begin(self, keys: tuple[tuple[_Key, int], ...]) -> float:
        with self._lock:
            now = self._clock()
            wait = max(self._wait(key, most, now) for key, most in keys)
            if wait:
                raise RateLimited(
                    "too many failed sign-ins: wait before the next one", retry_after=wait
                )
            for key, _ in keys:
                self._attempts.setdefault(key, deque()).append(now)
                self._attempts.move_to_end(key)
            while len(self._attempts) > _KEPT:
                self._attempts.popitem(last=False)
            return now

    def _wait(self, key: _Key, most: int, now: float) -> int:
        times = self._attempts.get(key)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if not times or len(times) < most:
            return 0
        return ceil(times[-most] + WINDOW - now)

    def _take_back(self, keys: tuple[tuple[_Key, int], ...], begun: float) -> None:
        with self._lock:
            for key, _ in keys:
                times = self._attempts.get(key, ())
                if begun in times:  # else its key was pushed out by newer ones
                    times.remove(begun)  # type: ignore[union-attr]  # an empty tuple has none in it


def _keys(account: str, address: str) -> tuple[tuple[_Key, int], ...]:
    place = _place(address)
    return (
        ((account, place), PER_PAIR),
        (("", place), _PER_ADDRESS),
        ((account, ""), _PER_ACCOUNT),
    )


def _place(address: str) -> str:
    """Return what one attacker has of addresses: of IPv6 a whole network, of IPv4 a single one."""
    try:
        found = ip_address(address)
    except ValueError:
        return address  # of no IP network: a name that a server gave its peer
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _NETWORK), strict=False))
    return str(found)
