"""Large values beside the database: in a folder, or in any store that fsspec knows.

A text over the inline limit is written to the store *before* the commit that speaks of it; the
column then holds a reference, ``@`` and JSON, which no JSON text can be. Keys name execution, step,
item, epoch, attempt and content, so that a stale attempt overwrites nothing: what it leaves behind
is found by nobody, and goes with its execution (:meth:`Payloads.remove`). Nothing in here may be
called while a transaction is open.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from engine.codec import decode, encode
from engine.errors import EngineError, PayloadLost, StepError, Unavailable
from engine.ids import is_id
from engine.settings import Settings

MARK = "@"
HEAD = 1_000  # characters of a stored text that its reference holds, for people to see
UNLIMITED = 2**62

_KEY = re.compile(r"[0-9a-z_-]+(/[0-9a-z_.-]+)+")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a large value lies. ``head`` is how its text begins; of bytes it is empty.

    ``about`` is the little of it that must be known without reading it, as plain JSON values.
    """

    key: str
    size: int  # bytes
    sha256: str
    head: str = ""
    about: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        values = {"key": self.key, "size": self.size, "sha256": self.sha256, "head": self.head}
        told = {} if self.about is None else {"about": self.about}
        return MARK + encode({**values, **told})


def reference(text: str | None) -> Reference | None:
    """Return the reference that stands in a column, or None when the value itself does."""
    if text is None or not text.startswith(MARK):
        return None
    return Reference(**decode(text[1:]))


def same(one: str | None, other: str | None) -> bool:
    """Return whether two columns stand for the same value, wherever it lies."""
    first, second = reference(one), reference(other)
    if first is None or second is None:
        return one == other
    return (first.size, first.sha256) == (second.size, second.sha256)


def place(execution_id: str, step: int, item: int, *, epoch: int, attempt: int, kind: str) -> str:
    """Return where a value of a step run is kept; ``item`` is -1 for the node itself."""
    which = "node" if item < 0 else str(item)
    return f"{execution_id}/{step}/{which}/{epoch}-{attempt}-{kind}"


class Payloads:
    """The store of one process. Opened at its first use; thread-safe."""

    def __init__(self, url: str | None, *, inline: int = UNLIMITED, limit: int = UNLIMITED) -> None:
        """Remember where the store is.

        Args:
            url: a folder or a URL of fsspec; None: there is none, all values stay inline.
            inline: bytes up to which a value stays in the database.
            limit: bytes that any value may have.
        """
        self.url = url
        self._inline = inline if url is not None else UNLIMITED
        self._limit = limit

    @classmethod
    def of(cls, settings: Settings) -> Payloads:
        """Return the store that the settings name."""
        return cls(
            settings.payload_store, inline=settings.inline_limit, limit=settings.payload_limit
        )

    def keep(self, text: str, where: str, what: str, about: Mapping[str, Any] | None = None) -> str:
        """Return what is to stand in the column for ``text``; a large one is in the store then.

        Args:
            text: JSON.
            where: from ``place``.
            what: names the value in an error: ``steps.load: the result``.
            about: what a reference to it tells of it besides; small.

        Raises:
            StepError: it is over the limit of any value (``too_large``).
            Unavailable: the store does not take it.
        """
        if len(text) * 4 <= self._inline:
            return text  # no character has more than four bytes
        body = text.encode()
        self.check_size(len(body), what)
        if len(body) <= self._inline:
            return text
        return str(replace(self._put(body, f"{where}.json", text[:HEAD]), about=about))

    def keep_bytes(self, body: bytes, where: str, what: str) -> str | None:
        """Return a reference to ``body``, or None when it is small enough to stay inline.

        Raises:
            StepError, Unavailable: as ``keep``.
        """
        self.check_size(len(body), what)
        return None if len(body) <= self._inline else str(self._put(body, where, ""))

    def check_size(self, size: int, what: str) -> None:
        """Refuse a value of ``size`` bytes that is over the limit.

        Raises:
            StepError: it is; no attempt can help.
        """
        if size > self._limit:
            raise StepError(
                f"{what} has {size:,} bytes, {self._limit:,} is the most",
                reason="too_large",
                retryable=False,
                hint="return a reference to the data, or raise ENGINE_PAYLOAD_LIMIT",
            )

    def read(self, text: str, what: str) -> str:
        """Return the text that a column stands for.

        Raises:
            PayloadLost: the store has it no more, or not as it was written.
            Unavailable: the store does not answer.
        """
        found = reference(text)
        return text if found is None else self.read_bytes(found, what).decode()

    def read_bytes(self, wanted: Reference, what: str) -> bytes:
        """Return the bytes that were kept, checked by size and SHA-256.

        Raises:
            PayloadLost, Unavailable: as ``read``.
        """
        try:
            with self._asking("read"):
                body = bytes(self._system.cat_file(self._path(wanted.key)))
        except FileNotFoundError:
            raise self._lost(wanted, what, "is not there any more") from None
        if len(body) != wanted.size or hashlib.sha256(body).hexdigest() != wanted.sha256:
            raise self._lost(wanted, what, f"is not what was written ({len(body):,} bytes)")
        return body

    def executions(self) -> list[str]:
        """Return the ids of the executions that have left something here.

        Raises:
            Unavailable: the store does not answer.
        """
        with self._asking("list"):
            _system, root = self._opened
            if not self._system.exists(root):
                return []
            names = (str(path).rsplit("/", 1)[-1] for path in self._system.ls(root, detail=False))
            return sorted(name for name in names if is_id(name))

    def remove(self, execution_id: str) -> None:
        """Remove all that an execution has left, also what its lost attempts wrote.

        Executions that took steps over from this one read their outputs here too: see
        ``engine.store.writes.payload_refs.taken_over``.

        Raises:
            Unavailable: the store does not answer.
        """
        with self._asking("remove"):
            folder = self._path(f"{execution_id}/all").removesuffix("/all")
            if self._system.exists(folder):
                self._system.rm(folder, recursive=True)

    def probe(self) -> None:
        """Write, read and remove a small object.

        Raises:
            Unavailable: one of these did not work.
            PayloadLost: what was read is not what was written.
        """
        if self.url is None:
            return
        found = self._put(uuid.uuid4().bytes, f"check/{uuid.uuid4().hex}", "")
        self.read_bytes(found, "the check")
        with self._asking("remove"):
            self._system.rm_file(self._path(found.key))

    def _put(self, body: bytes, where: str, head: str) -> Reference:
        sha256 = hashlib.sha256(body).hexdigest()
        stem, dot, ending = where.partition(".")
        found = Reference(f"{stem}-{sha256[:16]}{dot}{ending}", len(body), sha256, head)
        with self._asking("write"):
            path = self._path(found.key)
            if isinstance(self._system, LocalFileSystem):
                _write_file(path, body)
            else:
                # One request of an object store: there whole, or not at all.
                self._system.pipe_file(path, body)
        return found

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        if self.url is None:
            raise OSError("none is configured in this process")
        system, root = fsspec.core.url_to_fs(self.url)
        return system, str(root).rstrip("/")

    @property
    def _system(self) -> Any:
        return self._opened[0]

    def _path(self, key: str) -> str:
        # Keys are the engine's own; one that a database was made to hold must not lead elsewhere.
        if not _KEY.fullmatch(key) or ".." in key:
            raise PayloadLost(f"{key!r} is no key of a payload")
        return f"{self._opened[1]}/{key}"

    @contextmanager
    def _asking(self, verb: str) -> Iterator[None]:
        """Say in our words what a store of any kind says in its own."""
        try:
            yield
        except (FileNotFoundError, EngineError):
            raise
        except Exception as error:  # stores raise what their clients do
            raise Unavailable(
                f"the payload store {shown(self.url)} cannot {verb}: {error}",
                hint="see ENGINE_STORE_URL; `engine check` tries it",
            ) from error

    def _lost(self, wanted: Reference, what: str, why: str) -> PayloadLost:
        return PayloadLost(
            f"{what}: object {wanted.key} of the payload store {shown(self.url)} {why}",
            hint="restore it, or run the step again",
        )


def shown(url: str | None) -> str:
    """Return a store's URL without what may be a secret in it."""
    return re.sub(r"//[^/@]*@", "//", (url or "–").partition("?")[0])


def _write_file(path: str, body: bytes) -> None:
    """Write a file that is there whole or not at all, also after the power went."""
    folder, name = os.path.split(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    draft = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        with open(draft, "xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        if os.path.exists(draft):
            os.remove(draft)
        raise
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
