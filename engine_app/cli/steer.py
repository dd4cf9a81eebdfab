"""``engine cancel, pause, resume, retry, rerun``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from engine.codec import decode
from engine.commands.rerun import NEWEST, Preview, RerunRequest
from engine.definition import read_typed
from engine.errors import EngineError, InvalidInput, InvalidQuery
from engine.store import reads
from engine.store.reads import ExecutionRow
from engine_app.cancel_timeline import stages
from engine_app.cli.executions import Execution, follow_to_end, started_line
from engine_app.cli.inputs import parse_input
from engine_app.cli.local import As, Json, acting, engine
from engine_app.cli.output import clean, confirm, console, errors, moment, print_json

if TYPE_CHECKING:
    from actors.client import Client

_REFUSED = 2  # the exit code when a person says no
_NAMES_SHOWN = 20
Note = Annotated[str, typer.Option(help="Why, for those who look later.")]
Following = Annotated[bool, typer.Option("--follow", "-f", help="Watch it.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same again starts nothing.")]


def cancel(
    execution: Execution, *, note: Note = "", as_user: As = None, as_json: Json = False
) -> None:
    """Cancel an execution: no step starts from now on."""
    with engine() as client:
        user = acting(client.database, as_user)
        client.cancel(owner_id=user.id, execution_id=execution, note=note)
        row = _row(client, user.id, execution)
        ahead = stages(row, client.settings)
    if as_json:
        print_json({"execution_id": execution, "status": row.status, "stages": ahead})
    elif ahead.interrupt_at is None:
        console.print(f"{clean(execution)} is {row.status}")
    else:
        console.print(
            f"cancelling {clean(execution)}: what runs may finish until "
            f"{moment(ahead.interrupt_at)}, then it is interrupted, and taken from its worker at "
            f"{moment(ahead.revoke_at)}"
        )


def pause(
    execution: Execution, *, note: Note = "", as_user: As = None, as_json: Json = False
) -> None:
    """Pause an execution: no step starts until it is resumed; running ones finish."""
    with engine() as client:
        user = acting(client.database, as_user)
        client.pause(owner_id=user.id, execution_id=execution, note=note)
        _stands(_row(client, user.id, execution), as_json=as_json)


def resume(execution: Execution, *, as_user: As = None, as_json: Json = False) -> None:
    """Let a paused execution go on."""
    with engine() as client:
        user = acting(client.database, as_user)
        client.resume(owner_id=user.id, execution_id=execution)
        _stands(_row(client, user.id, execution), as_json=as_json)


def _row(client: Client, owner_id: str, execution_id: str) -> ExecutionRow:
    now = client.database.now()
    return client.database.read(
        lambda connection: reads.execution_row(connection, owner_id, execution_id, now=now)
    )


def _stands(row: ExecutionRow, *, as_json: bool) -> None:
    if as_json:
        print_json({"execution_id": row.id, "status": row.status})
    else:
        console.print(f"{clean(row.id)} is {row.status}")


def retry(
    execution: Execution,
    *,
    following: Following = False,
    key: Key = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Start a new execution that goes on where a failed or cancelled one stopped."""
    with engine() as client:
        user = acting(client.database, as_user)
        _start(client, user.id, execution, None, key=key, following=following, as_json=as_json)


def rerun(
    execution: Execution,
    *,
    from_step: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Run it again, and what follows.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="A number, or newest [default: the one it had].")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="As of run, on top of the input that it had."),
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the input in your editor.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, and start nothing.")
    ] = False,
    following: Following = False,
    key: Key = None,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Run an ended execution again, as a new one. Says before which steps are taken over, which
    repeat what they did outside, and which are new, and asks."""
    with engine() as client:
        user = acting(client.database, as_user)
        edited = bool(given) or edit
        value = _input(client, user.id, execution, given or [], edit=edit) if edited else None
        wish = RerunRequest(from_step, _version(version), value, edited)
        told = client.preview_again(owner_id=user.id, execution_id=execution, wish=wish)
        if dry_run and as_json:
            print_json(told)
        elif dry_run or not (yes and as_json):
            _tell(told)
        if dry_run:
            return
        if not yes and not confirm("Run it again like this?"):
            errors.print("nothing was started")
            raise typer.Exit(_REFUSED)
        _start(client, user.id, execution, wish, key=key, following=following, as_json=as_json)


def _start(
    client: Client,
    owner_id: str,
    execution_id: str,
    wish: RerunRequest | None,
    *,
    key: str | None,
    following: bool,
    as_json: bool,
) -> None:
    started = client.start_again(
        owner_id=owner_id, execution_id=execution_id, wish=wish, idempotency_key=key
    )
    if following:
        follow_to_end(client.database, owner_id, started.execution_id, as_json=as_json)
    else:
        started_line(started.execution_id, started.message_id, as_json=as_json)


def _version(text: str | None) -> int | str | None:
    if text is None or text == NEWEST:
        return text
    if not text.isdecimal() or len(text) > 9:
        raise InvalidQuery(f"--version: {text!r} is neither a number nor {NEWEST}")
    return int(text)


def _input(
    client: Client, owner_id: str, execution_id: str, given: Sequence[str], *, edit: bool
) -> Any:
    """Return the input that the execution had, with what is given on top, as edited."""
    now = client.database.now()
    origin = client.database.read(
        lambda connection: reads.execution(connection, owner_id, execution_id, now=now)
    )
    found = origin.input
    if given:
        found = (found if isinstance(found, dict) else {}) | parse_input(given)
    if not edit:
        return found
    definition = client.versions.get(origin.row.workflow_id, origin.row.version)
    found = read_typed(definition.input_schema, found)
    before = json.dumps(found, indent=2, ensure_ascii=False)
    try:
        pretty = click.edit(before, extension=".json", require_save=True)
    except click.ClickException as error:
        raise InvalidInput(f"the editor: {error.message}", hint="set EDITOR") from None
    if pretty is None:
        raise InvalidInput("the input was not saved in the editor", hint="nothing was started")
    try:
        return decode(pretty)
    except EngineError as error:
        raise InvalidInput(f"the input: {error.message}") from None


def _tell(told: Preview) -> None:
    errors.print(f"on version {told.version}:")
    for words, names in (
        ("taken over, not run", told.reused),
        ("run again: what they did outside may be done twice", told.repeated),
        ("run for the first time", told.fresh),
    ):
        if names:
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            errors.print(f"  {words}: {clean(', '.join(names[:_NAMES_SHOWN]))}{more}")
