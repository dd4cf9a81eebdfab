"""Run a program that ends when its parent does. A script of its own: it must start fast.

    python -I -S guard.py SIGNAL PARENT_PID PROGRAM ARGUMENT…

The kernel sends SIGNAL when the parent ends, however it ends; nothing in Python could, for a
process that gets SIGKILL runs no code. The setting survives ``exec``.
Source: prctl(2), PR_SET_PDEATHSIG
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def tie(signal_number: int, parent: int) -> None:
    """Make this process get the signal when the process ``parent`` ends.

    Raises:
        SystemExit: it has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    # It may have ended before the kernel was asked to watch it.
    if os.getppid() != parent:
        sys.exit(1)


def main(signal_number: str, parent: str, *command: str) -> None:
    """Become ``command``, tied to the life of the process ``parent``."""
    tie(int(signal_number), int(parent))
    os.execv(command[0], command)  # noqa: S606  # no shell: the command is exact


if __name__ == "__main__":
    main(*sys.argv[1:])
