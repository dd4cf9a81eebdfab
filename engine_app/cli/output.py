"""What commands print: tables for people, JSON for programs, errors as one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from engine.codec import encode
from engine.errors import EngineError, InvalidError
from engine.store.reads import Page
from engine_app.escapes import last_states, without_escapes
from engine_app.serialize import shape

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

# A log line or a name from user code must not drive the terminal that shows it.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WIDE = 2000
_COLOURS = {
    "completed": "green",
    "failed": "red",
    "cancelled": "bright_black",
    "skipped": "bright_black",
    "running": "blue",
    "retrying": "yellow",
    "waiting": "yellow",
    "queued": "cyan",
    "pending": "bright_black",
    "paused": "yellow",
}
_MARKS = {
    "completed": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "skipped": "–",
    "running": "▶",
    "retrying": "↻",
    "waiting": "◷",
    "paused": "Ⅱ",
}


def clean(text: object) -> str:
    """Return the text without what a terminal obeys, and as it is for rich."""
    shown = without_escapes(last_states(str(text)))
    return escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", shown))


def status(word: str) -> str:
    """Return a status as mark, word and colour."""
    colour = _COLOURS.get(word, "default")
    return f"[{colour}]{_MARKS.get(word, '·')} {clean(word)}[/]"


def moment(micros: int | None, zone: str | None = None) -> str:
    """Return a time with its distance from UTC, which names its zone without a doubt.

    Args:
        micros: since 1970.
        zone: an IANA zone; this machine's for None, and for one that it does not know.
    """
    if micros is None:
        return "–"
    told = datetime.fromtimestamp(micros // 1_000_000, UTC).astimezone(_zone(zone))
    wall = told.replace(tzinfo=None).isoformat(" ")
    offset = told.isoformat(" ").removeprefix(wall) if told.utcoffset() else "UTC"
    return f"{wall} {offset}"


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def length(start: int | None, end: int | None) -> str:
    """Return the seconds between two times."""
    if start is None or end is None:
        return "–"
    return f"{max(end - start, 0) / 1e6:.1f} s"


def print_json(value: Any) -> None:
    """Print a row, or a mapping with rows in it, as one JSON text."""
    plain = {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else shape(value)
    sys.stdout.write(encode(plain) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print cells, which are rich markup; ``empty`` when there are none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*row)
    # In a file or a pipe a row stays on its line, however long.
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table if table.row_count else f"[bright_black]{empty}[/]")


def print_more(page: Page[Any], what: str) -> None:
    """Say on stderr that there are more rows than these, and how to go on; nothing at the end."""
    if page.next_cursor is not None:
        errors.print(f"[bright_black]there are more {what}: --cursor {page.next_cursor}[/]")


def confirm(question: str) -> bool:
    """Ask on the terminal and return whether the answer is yes.

    Raises:
        InvalidError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise InvalidError("this wants to be confirmed, and there is no terminal", hint="say --yes")
    return Confirm.ask(question, console=errors, default=False)


def print_error(error: EngineError) -> None:
    """Print what is wrong to stderr: one line, and one more per fault."""
    hint = f" ({clean(error.hint)})" if error.hint else ""
    errors.print(f"[red]error:[/] {clean(error.message)}{hint}")
    for fault in error.faults:
        errors.print(f"  {clean(fault)}")
