"""A step that brings its process down: its worker goes on, and a handler takes care of it."""

from __future__ import annotations

import ctypes
import os
from typing import Annotated

from pydantic import Field

from engine import step, workflow


@step(isolation="process", memory="512MB", timeout="30s", attempts=2, backoff="500ms")
def decode(file: str, broken: bool) -> str:
    """Return what the file holds; a broken one ends the process, as a fault in C code does."""
    print(f"decoding {file} in process {os.getpid()}")
    if broken:
        ctypes.string_at(0)
    return f"{file}, decoded"


@step
def set_aside(file: str) -> str:
    """Return where the file was put, in the worker that the fault did no harm to."""
    print(f"setting {file} aside in process {os.getpid()}")
    return f"aside/{file}"


@workflow(title="Decoder in a process of its own")
def isolated(
    file: Annotated[str, Field(title="File")] = "photo.raw",
    broken: Annotated[bool, Field(title="Have the decoder crash")] = True,
) -> dict[str, str | None]:
    """Decode a file with native code that crashes, twice by default; then set the file aside."""
    decoded = decode(file, broken)
    return {"decoded": decoded, "set_aside": set_aside.handles(decoded)(file)}
