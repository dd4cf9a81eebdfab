"""``engine workflows push, validate, list``."""

from __future__ import annotations

from typing import Annotated

import typer

from engine import registry
from engine.commands.publish import publish
from engine.definition import Definition, parse_text
from engine.errors import InvalidDocument, SettingsError, TooLarge
from engine.store import reads
from engine.store.writes.workflows import Published
from engine_app.cli.local import MOST, As, Json, acting, database, every, read_text, settings
from engine_app.cli.output import clean, console, errors, print_json, print_table, status

app = typer.Typer(no_args_is_help=True, help="Publish and list workflows.")
Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="Documents; none: what ENGINE_MODULES define."),
]


def _definitions(files: list[str] | None) -> list[Definition]:
    if files:
        found = [_read(path) for path in files]
        _warn(found)
        return found
    registry.load_modules(settings().modules)
    return registry.workflows()


def _warn(found: list[Definition]) -> None:
    """Tell which options of ``@step`` documents leave out, as far as the functions are here."""
    if not any(step.uses == "python" for one in found for step in one.steps):
        return
    try:
        registry.load_modules(settings().modules)
    except SettingsError as error:
        errors.print(f"[yellow]not looked at:[/] what @step says: {clean(error.message)}")
        return
    for one in found:
        for note in registry.unused_options(one):
            errors.print(f"[yellow]note:[/] {clean(one.name)}: {clean(str(note))}")


def _read(path: str) -> Definition:
    try:
        return parse_text(read_text(path))
    except (InvalidDocument, TooLarge) as error:
        said = f"{'standard input' if path == '-' else path}: {error.message}"
        raise type(error)(said, hint=error.hint, faults=error.faults) from None


@app.command()
def push(
    files: Files = None,
    *,
    shared: Annotated[bool, typer.Option(help="Everyone may read and run them.")] = False,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Publish workflows: each becomes a new version unless it is the latest already."""
    found = _definitions(files)
    with database() as opened:
        user = acting(opened, as_user)
        made = [publish(opened, user.id, one, shared=shared) for one in found]
    if as_json:
        print_json({"items": made})
        return
    for published in made:
        console.print(_told(published))


def _told(published: Published) -> str:
    word = "published" if published.created else "unchanged"
    return f"{clean(published.name)} v{published.version} {word}"


@app.command()
def validate(files: Files = None, *, as_json: Json = False) -> None:
    """Check workflows and name every fault; nothing is kept."""
    found = _definitions(files)
    if as_json:
        print_json({"items": [{"name": one.name, "steps": len(one.steps)} for one in found]})
        return
    for one in found:
        console.print(f"{clean(one.name)}: {len(one.steps)} steps, no fault")


@app.command("list")
def list_(*, as_user: As = None, as_json: Json = False) -> None:
    """List your workflows and the shared ones."""
    with database() as opened:
        user = acting(opened, as_user)
        rows = every(
            opened, lambda c, cursor: reads.workflows(c, user.id, cursor=cursor, limit=MOST)
        )
    if as_json:
        print_json({"items": rows})
        return
    print_table(
        ("name", "version", "steps", "last run", "title"),
        (
            (
                clean(row.name) + (" [bright_black]shared[/]" if row.shared else ""),
                f"v{row.latest_version}",
                str(row.steps),
                status(row.last_status) if row.last_status else "–",
                clean(row.title),
            )
            for row in rows
        ),
        empty="no workflows: publish one with `engine workflows push FILE`",
    )
