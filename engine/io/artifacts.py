"""The kinds of things a step makes for people, and what makes them fit to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from engine.codec import decode, encode
from engine.errors import PayloadError

MARKDOWN = "text/markdown"
TABLE = "application/vnd.engine.table+json"
LINK = "application/vnd.engine.link+json"
MAX_COLUMNS = 100
MAX_URL = 2_000  # characters

# What every browser draws; the API serves these types as they are, and others as plain bytes.
IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/svg+xml", "image/webp"})

_KINDS = {MARKDOWN: "markdown", TABLE: "table", LINK: "link"}


def kind_of(media_type: str) -> str:
    """Return markdown, table, link, image or file."""
    return _KINDS.get(media_type) or ("image" if media_type in IMAGES else "file")


def table_body(rows: Sequence[Any]) -> str:
    """Return rows, a mapping each, as the JSON of a table artifact.

    The columns are the keys in the order in which the rows first name them.

    Raises:
        PayloadError: a row that is no mapping, too many columns, what JSON cannot carry.
    """
    plain = decode(encode(list(rows)))
    columns: dict[str, None] = {}
    for index, row in enumerate(plain):
        if not isinstance(row, dict):
            raise PayloadError(f"row {index} is no mapping", hint='give {"column": value, …} each')
        columns |= dict.fromkeys(row)
    if len(columns) > MAX_COLUMNS:
        raise PayloadError(f"{len(columns)} columns are over the limit of {MAX_COLUMNS}")
    return encode({"columns": list(columns), "rows": plain})


def link_body(url: str, title: str) -> str:
    """Return the JSON of a link artifact.

    Raises:
        PayloadError: the address is not http or https, or over its limit.
    """
    if not is_web_address(url):
        raise PayloadError(
            f"{url[:80]!r} is no web address", hint="only http://HOST/… and https://HOST/…"
        )
    return encode({"url": url, "title": title})


def is_web_address(url: object) -> bool:
    """Return whether a page may link there: http or https, a host, nothing to deceive with."""
    if not isinstance(url, str) or len(url) > MAX_URL:
        return False
    if any(letter.isspace() or not letter.isprintable() for letter in url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
