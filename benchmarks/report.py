"""What the programs have in common at their ends: options, a table for people, JSON for others."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.costs import cores
from benchmarks.servers import Lacking, create_database, end_in_good_order, postgres

SQLITE, POSTGRES = "sqlite", "postgresql"


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every program has."""
    options = argparse.ArgumentParser(prog=name, description=description)
    options.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there too")
    return options


def add_database_options(options: argparse.ArgumentParser) -> None:
    """Add the choice of databases."""
    options.add_argument(
        "--database",
        default="",
        metavar="URL",
        help="an empty PostgreSQL database, whose executions are deleted; "
        "default: a server of our own, if PostgreSQL is installed",
    )
    options.add_argument("--only", choices=(SQLITE, POSTGRES), help="measure this one only")


@contextmanager
def databases(options: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Yield the databases to measure: name -> URL, which is empty for SQLite.

    Raises:
        Lacking: PostgreSQL alone was asked for, and there is none.
    """
    chosen = {SQLITE: ""} if options.only != POSTGRES else {}
    with contextlib.ExitStack() as stack:
        if options.only != SQLITE:
            try:
                url = options.database or stack.enter_context(postgres())
            except Lacking as lacking:
                if options.only:
                    raise
                print(f"without PostgreSQL: {lacking}", file=sys.stderr)
            else:
                chosen[POSTGRES] = url
        yield chosen


def fresh(name: str, url: str, options: argparse.Namespace) -> str:
    """Return the URL of an empty database ``name`` on our own server; a given one stays."""
    return create_database(url, name) if url and not options.database else url


def machine(urls: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what figures mean nothing without: the machine, the versions, the commit."""
    facts: dict[str, Any] = {
        "machine": platform.platform(),
        "cores_of_machine": cores(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "commit": _commit(),
    }
    if url := (urls or {}).get(POSTGRES):
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            facts[POSTGRES] = connection.info.parameter_status("server_version")
    return facts


@contextmanager
def ending(options: argparse.ArgumentParser) -> Iterator[None]:
    """Stop in good order when told to, and say in a line what the machine lacks."""
    end_in_good_order()
    try:
        yield
    except Lacking as lacking:
        options.exit(2, f"{lacking}\n")


def tell(
    title: str, results: dict[str, Any], columns: dict[str, dict[str, Any]], out: Path | None
) -> None:
    """Print ``columns`` of the results as a table and, as the last line, all of them as JSON.

    Args:
        title: of the table.
        results: the whole.
        columns: name -> what was measured there.
        out: the file to write the JSON to, too.
    """
    console = Console(width=max(Console().width, 60 + 30 * len(columns)))
    table = Table("measured", *columns, title=title)
    cells = {name: dict(rows(column)) for name, column in columns.items()}
    for name in dict.fromkeys(name for column in cells.values() for name in column):
        table.add_row(name, *(column.get(name, "") for column in cells.values()))
    console.print(table)
    text = json.dumps(results)
    if out is not None:
        out.write_text(text + "\n")
    print(text)


def rows(results: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names with dots, and their values as text; single runs are for the JSON alone.

    The groups of processes stand together, without those that did next to nothing.
    """
    for name, value in results.items():
        if name in ("cores", "cpu_percent", "memory_mb") and isinstance(value, dict):
            most = sum(value.values())
            shown = (f"{group} {cost}" for group, cost in value.items() if cost > most / 50)
            yield f"{prefix}{name}", "\n".join(shown)
        elif isinstance(value, dict):
            yield from rows(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", str(value)


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
