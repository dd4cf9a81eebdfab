"""A step that tells how far it is, and makes one thing of each kind for people to look at."""

from __future__ import annotations

import csv
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine import context, step, workflow

BLOCKS = 20


@step(timeout="2m")
def count_primes(limit: int, seconds: float) -> list[dict[str, int]]:
    """Return how many primes there are in each of 20 stretches up to ``limit``."""
    found = []
    width = limit // BLOCKS
    for block in range(BLOCKS):
        first, last = block * width + 1, (block + 1) * width
        context.progress(block, BLOCKS, f"from {first:,} on")
        found.append({"from": first, "to": last, "primes": _primes(first, last)})
        time.sleep(seconds / BLOCKS)
    context.progress(BLOCKS, BLOCKS)
    return found


@step
def show(blocks: list[dict[str, int]]) -> int:
    """Return how many primes there are in all; each kind of artifact shows them in its way."""
    total = sum(block["primes"] for block in blocks)
    last = blocks[-1]["to"]
    context.markdown(
        "report",
        f"# {total:,} primes\n\nThere are **{total:,}** primes up to {last:,}. They get rarer:\n\n"
        f"- {blocks[0]['primes']:,} in the first stretch\n- {blocks[-1]['primes']:,} in the last\n",
    )
    context.table("stretches", blocks)
    context.image("stretches.png", _bars([block["primes"] for block in blocks]))
    context.link("more", "https://oeis.org/A000040", "The prime numbers in the OEIS")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stretches.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["from", "to", "primes"])
            writer.writeheader()
            writer.writerows(blocks)
        context.file("stretches.csv", path)
    return total


@workflow(name="artifacts", title="Progress and artifacts")
def show_primes(
    limit: Annotated[
        int,
        Field(ge=1_000, le=200_000, title="Count primes up to", description="Rounded down to 20."),
    ] = 20_000,
    seconds: Annotated[
        float,
        Field(ge=0, le=60, title="Seconds to take", description="So that there is time to watch."),
    ] = 5,
) -> int:
    """Count primes, tell how far it is, then show them as text, table, image, link and file."""
    return show(count_primes(limit, seconds))


def _primes(first: int, last: int) -> int:
    return sum(_is_prime(number) for number in range(first, last + 1))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % other for other in range(2, int(number**0.5) + 1))


def _bars(heights: list[int]) -> bytes:
    """Return a PNG with one dark bar for each height."""
    top, wide = 120, 16
    scale = top / max([*heights, 1])
    rows = []
    for y in range(top):
        row = b"".join(
            (b"\x28" if (top - y) <= height * scale else b"\xff") * (wide - 4) + b"\xff" * 4
            for height in heights
        )
        rows.append(b"\0" + row)
    size = struct.pack(">IIBBBBB", wide * len(heights), top, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", size), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
