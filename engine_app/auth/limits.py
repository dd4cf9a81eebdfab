"""How many failed sign-ins are heard: by account with address, by address, by account."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from math import ceil

WINDOW = 300.0  # seconds a failure counts
_PER_PAIR = 10
_PER_ADDRESS = 50
# High: whoever knows a name must not be able to keep its owner out from elsewhere.
_PER_ACCOUNT = 200
_KEPT = 10_000  # keys: names are chosen by the attacker, memory is not theirs to fill

_Key = tuple[str, str]


class Limits:
    """Counts of recent failures in this process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[_Key, deque[float]] = OrderedDict()

    def wait(self, account: str, address: str) -> int:
        """Return the seconds until another try is heard; 0: now."""
        with self._lock:
            return max(self._wait(key, most) for key, most in _keys(account, address))

    def _wait(self, key: _Key, most: int) -> int:
        times = self._failures.get(key)
        if not times:
            return 0
        now = self._clock()
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if len(times) < most:
            return 0
        return ceil(times[-most] + WINDOW - now)

    def failed(self, account: str, address: str) -> None:
        """Count a failure."""
        with self._lock:
            for key, most in _keys(account, address):
                times = self._failures.setdefault(key, deque(maxlen=most))
                times.append(self._clock())
                self._failures.move_to_end(key)
            while len(self._failures) > _KEPT:
                self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account from this address: a person found the right one."""
        with self._lock:
            self._failures.pop(_keys(account, address)[0][0], None)


def _keys(account: str, address: str) -> tuple[tuple[_Key, int], ...]:
    return (
        ((account, address), _PER_PAIR),
        (("", address), _PER_ADDRESS),
        ((account, ""), _PER_ACCOUNT),
    )
