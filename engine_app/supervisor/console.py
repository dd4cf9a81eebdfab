"""What the person at the terminal reads: each line under the name of who said it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

from engine_app.escapes import last_states, without_escapes

_COLOURS = ("36", "32", "35", "33", "34", "90")  # SGR: cyan, green, magenta, yellow, blue, grey
_WIDTH = 10
SUPERVISOR = "engine"
# What is left of escapes but colours, and other control characters but tabs.
_CONTROL = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")


class Lines:
    """Prints lines with a name before each; a colour per name on a terminal.

    Plain writes, a chunk at a time: workers say two lines a step, and a formatter per line cost
    a third of a core at a thousand steps a second.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._prefixes: dict[str, str] = {}
        self._started = time.monotonic()
        self._prefix(SUPERVISOR, "1")

    def say(self, text: str, *, name: str = SUPERVISOR) -> None:
        """Print ``text``, one line or more."""
        prefix = self._prefixes.get(name) or self._prefix(
            name, _COLOURS[len(self._prefixes) % len(_COLOURS)]
        )
        shown = without_escapes(last_states(text), keep_colours=True)
        lines = _CONTROL.sub("\ufffd", shown).splitlines()
        sys.stdout.write("".join(f"{prefix}{line}\n" for line in lines))
        sys.stdout.flush()

    def show(self, text: str) -> None:
        """Print ``text`` as it is."""
        print(text, flush=True)  # noqa: T201  # this is what people read

    @property
    def seconds(self) -> float:
        """How long ago this began."""
        return time.monotonic() - self._started

    def _prefix(self, name: str, colour: str) -> str:
        plain = f"{name:{_WIDTH}} "
        self._prefixes[name] = f"\x1b[{colour}m{plain}\x1b[0m" if self._terminal else plain
        return self._prefixes[name]


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Say the lines that are complete now; keep the rest for later."""
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        if newline:
            self._say(last_states(whole.decode("utf-8", "replace")))

    def flush(self) -> None:
        """Say what is left without an end of line."""
        if self._rest:
            self.feed(b"\n")
