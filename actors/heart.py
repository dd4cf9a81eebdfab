"""The heart of a worker process: it beats as long as the interpreter runs at all.

Apart from the heartbeat in the database, which says that the worker vouches for its claims: that
one may be late when the database is. This one stops only when no thread gets to run, and then the
guardian, a process beside this one, ends the worker.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from engine.settings import Settings
from engine.steps.threads import start_vital
from engine.worker import guardian
from engine.worker.end_stalled import TRACE_SIGNAL
from engine.worker.vital_signs import VitalSigns

BEAT_SECONDS = 0.1
_GUARDIANS = sys.platform == "linux" and hasattr(os, "pidfd_open")

_log = logging.getLogger("engine.worker")


class Heart:
    """Beats, and sees to it that somebody watches.

    Args:
        settings: of this process.
        worker_id: whose heart it is.
        leave: called with the reason when this process is not whole any more.
    """

    def __init__(self, settings: Settings, worker_id: str, leave: Callable[[str], None]) -> None:
        self.signs = VitalSigns()
        self._settings = settings
        self._worker_id = worker_id
        self._leave = leave
        self._guarded = False
        # Where faulthandler writes: open as long as this process lives.
        self._trace = tempfile.TemporaryFile()  # noqa: SIM115

    def set_apart(self) -> None:
        """Make this process one that can be ended with all that it starts, and have it watched.

        To be called before user code is imported.
        """
        _lead_a_group()
        # A fork of a process with threads inherits their locks, and hangs.
        multiprocessing.set_start_method("spawn", force=True)
        if not _GUARDIANS:
            _log.warning("no guardian here: a step that keeps the interpreter's lock holds up all")
            return
        self._start_guardian()
        self._guarded = True

    def _start_guardian(self) -> None:
        limit, worker = self._settings.stall_seconds, str(os.getpid())
        faulthandler.register(TRACE_SIGNAL, file=self._trace, all_threads=True, chain=False)
        descriptors = [self.signs.descriptor, self._trace.fileno()]
        passed = [str(one) for one in descriptors]
        finder = [sys.executable, "-m", "engine.worker.end_stalled", worker, self._worker_id]
        subprocess.run(  # noqa: S603  # our own interpreter and files
            [
                *(sys.executable, "-I", "-S", str(guardian.__file__), worker, str(limit), *passed),
                *(*finder, *passed),
            ],
            pass_fds=descriptors,
            check=True,
        )

    def start(self) -> None:
        """Begin to beat."""
        start_vital("heart", self._beat)

    def _beat(self) -> None:
        looks, seen = self.signs.looks, time.monotonic()
        alone_after = 2 * self._settings.stall_seconds  # in which it looks 24 times
        while True:
            self.signs.beat()
            time.sleep(BEAT_SECONDS)
            now = time.monotonic()
            if self.signs.looks != looks:
                looks, seen = self.signs.looks, now
            elif self._guarded and now - seen > alone_after:
                self._guarded = False
                self._leave("its guardian is gone")


def _lead_a_group() -> None:
    """Make this process the leader of a group: whatever it starts can then be ended with it.

    Nobody at a terminal speaks to the group any more, so nothing in it may wait for a word: reading
    from the terminal would stop it.
    """
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
