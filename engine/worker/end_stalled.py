"""Find out why a worker stands still, write it down, and kill it: all before its lease runs out.

    python -m engine.worker.end_stalled WORKER WORKER_ID MEMORY TRACE OVER

Started by the worker's guardian at a suspicion. Should the worker go on before the time OVER
(``time.monotonic``), nothing is done. Rescue takes the worker's claims back when this is written,
and counts a crash for who is at fault.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from engine import settings
from engine.core.stall import Stall, busiest, culprits
from engine.errors import EngineError
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.worker.guardian import kill, stat, threads_of
from engine.worker.vital_signs import VitalSigns

# Answered by faulthandler, in C code that needs no lock, in the thread that it is sent to.
TRACE_SIGNAL = signal.SIGRTMIN + 5 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
_POLL_SECONDS = 0.05
_LEAST_SECONDS = 0.5  # in which it shows who computes
_TRACE_SECONDS = 0.5
_LONGEST_TRACE = 1 << 20  # bytes
_WRITE_SECONDS = 1.0  # that the database gets before the worker is killed all the same
_TICKS = os.sysconf("SC_CLK_TCK")
# Frames that say nothing about a step: how a worker comes to call it.
_OURS = re.compile(
    rf'"({re.escape(str(Path(__file__).parents[2]))}/(engine|actors)/|.*/dramatiq/|.*/threading\.py")'
)

_log = logging.getLogger(__name__)


def main(worker: str, worker_id: str, memory: str, trace: str, over: str) -> None:
    """Kill the worker, unless it goes on within the time that is left."""
    pid, signs = int(worker), VitalSigns(int(memory))
    beats, began, before = signs.heart, time.monotonic(), _times_of(pid)
    until = max(float(over), began + _LEAST_SECONDS)
    while time.monotonic() < until:
        if signs.heart != beats:
            return
        time.sleep(_POLL_SECONDS)
    passed, after = time.monotonic() - began, _times_of(pid)
    busy = busiest({one: (after[one] - before.get(one, after[one])) / passed for one in after})
    stall = Stall(
        seconds=round(settings.current().stall_seconds, 1),
        culprits=culprits(busy, signs.claims()),
        trace=_trace_of(pid, busy[0] if busy else pid, int(trace)),
    )
    _condemn(pid, worker_id, stall)


def _condemn(pid: int, worker_id: str, stall: Stall) -> None:
    # A worker that stands still in a transaction holds up who wants to write of it.
    killer = threading.Timer(_WRITE_SECONDS, kill, [pid])
    killer.start()
    try:
        database = Database.open(settings.current().database, threads=1)
        now = database.now()
        database.write(lambda connection: liveness.condemn(connection, now, worker_id, stall))
    except EngineError as error:
        _log.error("why worker %s is killed cannot be written down: %s", worker_id, error.message)
    killer.cancel()
    kill(pid)
    who = "unknown" if stall.culprits is None else ", ".join(stall.culprits)
    _log.error("worker %s is killed: %s", worker_id, stall.words)
    _log.error("at fault: %s\n%s", who, stall.trace)


def _times_of(pid: int) -> dict[int, float]:
    """Return the seconds of processor time that each thread has used."""
    found = {}
    for thread in threads_of(pid):
        try:
            words = stat(f"/proc/{pid}/task/{thread}")
        except OSError:
            continue  # it has ended
        found[thread] = (int(words[11]) + int(words[12])) / _TICKS
    return found


def _trace_of(pid: int, thread: int, file: int) -> str:
    """Return where the thread is."""
    ctypes.CDLL(None).tgkill(pid, thread, TRACE_SIGNAL)
    until, size = time.monotonic() + _TRACE_SECONDS, -1
    while time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        before, size = size, os.fstat(file).st_size
        if size and size == before:
            break  # it is written
    return current_frames(os.pread(file, _LONGEST_TRACE, 0).decode(errors="replace"))


def current_frames(dump: str) -> str:
    """Return the frames of the thread that ``faulthandler`` calls current, the last call last."""
    _, _, rest = dump.partition("Current thread ")
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    frames = [line for line in lines if line.startswith("  File ") and not _OURS.search(line)]
    # Where the code is installed is nobody's concern who reads the trace.
    return "\n".join(reversed(frames)).replace(f'"{Path.cwd()}/', '"')


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    main(*sys.argv[1:])
