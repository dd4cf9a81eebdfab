"""``engine db prune``."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.commands import prune as verbs
from engine.commands.prune import Pruned
from engine.definition import seconds
from engine.errors import InvalidQuery
from engine_app.cli.local import Json, database
from engine_app.cli.output import console, print_json

_LONGEST = 36_525 * 86_400.0  # seconds
_SHORTEST = 3600.0  # seconds: nobody who looks at an end just now loses it under their eyes


def prune(
    *,
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="What ended that long ago goes, e.g. 30d or 12h.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count it, and delete nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete ended executions with all that is theirs, old signals, and cached results whose time
    is over: everybody's. What is open, and what an open execution was made from, stays."""
    age = seconds(older_than)
    if age is None or not _SHORTEST <= age <= _LONGEST:
        raise InvalidQuery(f"--older-than: {older_than!r} is no time from 1h to 36525d, like 30d")
    with database() as opened:
        before = opened.now() - int(age * 1e6)
        if dry_run:
            found = verbs.preview(opened, before=before)
        else:
            found = verbs.prune(opened, before=before)
    if as_json:
        print_json(found)
    else:
        console.print(_told(found, "would be deleted" if dry_run else "deleted"))


def _told(found: Pruned, words: str) -> str:
    return (
        f"{words}: {found.executions} executions, {found.signals} signals, "
        f"{found.dead_letters} dead letters, {found.cached_results} cached results"
    )
