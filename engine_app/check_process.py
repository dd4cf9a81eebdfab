"""A process that checks one document or input for the web app.

Run as ``python -m engine_app.check_process DESCRIPTOR SECONDS BYTES``. What it is asked comes over
a socket as a pickle, and so does the answer: both sides are our own code, and run no user's.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from engine.definition import checked, json_schema, parse_text
from engine.errors import TooLarge
from engine.expressions import BUDGET


def _document(text: str) -> Any:
    return checked(parse_text(text))


def _input(schema: dict[str, Any], value: Any) -> Any:
    return json_schema.fitted(json_schema.Tree(schema), value, "input", BUDGET)


WORK: dict[str, Callable[..., Any]] = {"document": _document, "input": _input}


def main() -> None:
    """Answer one question."""
    gc.disable()  # it ends before there is anything to collect, and looking costs a third of it
    descriptor, seconds, memory = sys.argv[1:]
    with Connection(int(descriptor)) as asked:
        asked.send(None)  # it is there: its time begins
        try:
            name, arguments = asked.recv()
        except EOFError:
            return
        # Whoever asked may be dead when the time is over: the kernel ends this process then.
        signal.setitimer(signal.ITIMER_REAL, 2 * float(seconds))
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory), resource.RLIM_INFINITY))
        asked.send(_answer(name, arguments))


def _answer(name: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return WORK[name](*arguments)
    except MemoryError:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)  # to say so
        return TooLarge("the check takes more memory than one may", hint="make it smaller")
    except Exception as error:
        return error


if __name__ == "__main__":
    main()
