"""What a worker and the process of an isolated step say to one another: JSON, a line a message.

Never pickle: the process runs code that may have gone astray, and the worker reads what it says.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import time
from collections.abc import Iterator
from typing import Any

# Calls of the step's context that are made again on the worker's side, where they count.
FORWARDED = ("artifact", "progress")
# Beside a result (as text within JSON up to three times its bytes) there is room for the largest
# other message: an artifact of 5 MiB in base64.
ROOM = 8 * 1024 * 1024
_CHUNK = 64 * 1024


def line_of(message: dict[str, Any]) -> bytes:
    """Return ``message`` as a line; bytes in it become base64."""
    return json.dumps(message, default=_bytes, separators=(",", ":")).encode() + b"\n"


def message_of(line: bytes) -> dict[str, Any]:
    """Return the message that a line stands for.

    Raises:
        ValueError: it is none.
    """
    message = json.loads(line, object_hook=_restored)
    if not isinstance(message, dict):
        raise ValueError("a message is an object")  # noqa: TRY004  # one error for all that is wrong
    return message


def _bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"\0bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _restored(value: dict[str, Any]) -> Any:
    # No text of a document holds NUL, so no parameter or result is taken for this.
    return base64.b64decode(value["\0bytes"]) if value.keys() == {"\0bytes"} else value


class Garbled(ValueError):
    """What came over the pipe is no message."""


class Channel:
    """The worker's end of both pipes. It never blocks: each side may have died, or stand still."""

    def __init__(self, reads: int, writes: int, *, limit: int) -> None:
        self._reads = reads
        self._writes = writes
        self._limit = limit
        self._inward = bytearray()
        self._outward = bytearray()
        self._poll = select.poll()  # not select: a busy worker has more than 1,024 descriptors
        self._poll.register(reads, select.POLLIN)
        self._open = True
        os.set_blocking(reads, False)
        os.set_blocking(writes, False)

    def send(self, message: dict[str, Any]) -> None:
        """Have ``message`` sent as the other side takes it."""
        self._outward += line_of(message)
        self._write()

    def turn(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Wait for at most ``seconds`` for something to read or write; yield what has come.

        Raises:
            Garbled: the other side does not keep to the form.
        """
        if not self._open:
            time.sleep(seconds)  # it closed its end without ending: its process is watched
            return
        for descriptor, _ in self._poll.poll(seconds * 1000):
            if descriptor == self._writes:
                self._write()
            else:
                self._read()
        yield from self._messages()

    def rest(self) -> Iterator[dict[str, Any]]:
        """Yield what an ended process has left in the pipe."""
        while self._open and self._read():
            yield from self._messages()

    def _read(self) -> bool:
        """Return whether there was something to read."""
        try:
            chunk = os.read(self._reads, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._open = False
            self._poll.unregister(self._reads)
        self._inward += chunk
        return bool(chunk)

    def _messages(self) -> Iterator[dict[str, Any]]:
        *lines, rest = self._inward.split(b"\n")
        self._inward = rest
        if len(rest) > self._limit:
            raise Garbled(f"a message has over {self._limit:,} bytes")
        for line in lines:
            try:
                yield message_of(bytes(line))
            except ValueError:
                raise Garbled(f"no message: {bytes(line[:80])!r}") from None

    def _write(self) -> None:
        try:
            while self._outward:
                del self._outward[: os.write(self._writes, self._outward[:_CHUNK])]
        except BlockingIOError:
            self._poll.register(self._writes, select.POLLOUT)
            return
        except BrokenPipeError:
            self._outward.clear()  # it died: how is told by its process
        with contextlib.suppress(KeyError):
            self._poll.unregister(self._writes)
