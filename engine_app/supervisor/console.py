"""What the person at the terminal reads: each line under the name of who said it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_black")
_WIDTH = 10
SUPERVISOR = "engine"


class Lines:
    """Prints lines with a name before each; a colour per name on a terminal."""

    def __init__(self) -> None:
        # As wide as the longest line: a log line must stay one line for grep.
        self._console = Console(
            file=sys.stdout, soft_wrap=True, highlight=False, markup=False, emoji=False
        )
        self._colours: dict[str, str] = {SUPERVISOR: "bold"}
        self._started = time.monotonic()

    def say(self, text: str, *, name: str = SUPERVISOR) -> None:
        """Print ``text``, one line or more."""
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        for line in text.splitlines():
            self._console.print(Text(f"{name:{_WIDTH}} ", style=colour) + Text.from_ansi(line))

    def show(self, text: str) -> None:
        """Print ``text`` as it is."""
        self._console.print(text)

    @property
    def seconds(self) -> float:
        """How long ago this began."""
        return time.monotonic() - self._started


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Say each line that is complete now; keep the rest for later."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line.decode("utf-8", "replace").rstrip("\r"))

    def flush(self) -> None:
        """Say what is left without an end of line."""
        if self._rest:
            self.feed(b"\n")
