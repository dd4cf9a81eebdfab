"""Decode compressed answers without ever holding more than they may have when decoded.

A few hundred bytes of gzip can stand for gigabytes, and twice-compressed ones for far more: what
is decoded is bounded before it is there, and codings are not stacked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

ACCEPTED = "gzip, deflate"

_GZIP = 16 + zlib.MAX_WBITS  # Source: zlib.h, inflateInit2


class Undecodable(Exception):
    """The answer is not encoded as it says, or in a way that is not understood."""


def decoded(chunks: Iterable[bytes], codings: str, limit: int) -> Iterator[bytes]:
    """Yield the bytes that ``chunks`` stand for, one more than ``limit`` at most.

    Args:
        chunks: as they came.
        codings: the answer's ``Content-Encoding``.
        limit: bytes.

    Raises:
        Undecodable: they do not stand for anything.
    """
    named = [name for coding in codings.split(",") if (name := coding.strip().lower())]
    named = [name for name in named if name != "identity"]
    if not named:
        yield from chunks
    elif named in (["gzip"], ["x-gzip"]):
        yield from _inflated(chunks, [_GZIP], limit)
    elif named == ["deflate"]:
        # By the book with zlib's header; some servers leave it out.
        yield from _inflated(chunks, [zlib.MAX_WBITS, -zlib.MAX_WBITS], limit)
    else:
        raise Undecodable(f"its encoding is {', '.join(named)}; {ACCEPTED} are understood")


def _inflated(chunks: Iterable[bytes], formats: list[int], limit: int) -> Iterator[bytes]:
    inflater, done, begun = zlib.decompressobj(formats[0]), 0, False
    for chunk in chunks:
        data = chunk
        while data:
            try:
                part = inflater.decompress(data, limit + 1 - done)
            except zlib.error as error:
                if begun or len(formats) < 2:
                    raise Undecodable(f"it is not compressed as it says: {error}") from None
                inflater, formats = zlib.decompressobj(formats[1]), formats[1:]
                continue
            begun = True
            done += len(part)
            yield part  # also when it is empty: who reads counts what came
            if done > limit:
                return
            data = inflater.unconsumed_tail
            if inflater.eof and inflater.unused_data:  # another member follows
                data, inflater = inflater.unused_data, zlib.decompressobj(formats[0])
    if begun and not inflater.eof:
        raise Undecodable("it ends in the middle of its compressed content")
