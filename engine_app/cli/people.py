"""``engine user add, list, password, link, disable`` and ``engine token create, list, revoke``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from engine.errors import InvalidError
from engine.store.db.database import Connection
from engine.store.writes import users
from engine_app.auth import links, secrets
from engine_app.auth.names import check_name
from engine_app.auth.tokens import create_token
from engine_app.cli.local import MOST, As, Json, acting, database, every, settings
from engine_app.cli.output import clean, confirm, console, moment, print_json, print_table

user = typer.Typer(no_args_is_help=True, help="People who may sign in.")
token = typer.Typer(no_args_is_help=True, help="API tokens.")
Name = Annotated[str, typer.Argument(help="The user's name.")]
Stdin = Annotated[
    bool, typer.Option("--stdin", help="Read the password from standard input, unasked.")
]


@user.command()
def add(
    name: Name,
    *,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password.")] = False,
    stdin: Stdin = False,
    as_json: Json = False,
) -> None:
    """Add a user, who signs in by `engine user link` unless given a password."""
    check_name(name)
    hashed = secrets.hash_password(_ask(stdin=stdin)) if password or stdin else None
    with database() as opened:
        now = opened.now()
        user_id = opened.write(
            lambda connection: users.add(connection, name, now, password_hash=hashed)
        )
    if as_json:
        print_json({"id": user_id, "name": name})
    else:
        console.print(f"added {clean(name)}")


def _ask(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidError("there is no terminal to ask for a password", hint="use --stdin")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


@user.command("list")
def list_users(*, as_json: Json = False) -> None:
    """List the users."""
    with database() as opened:
        rows = opened.read(users.listed)
    if as_json:
        print_json({"items": rows})
        return
    print_table(
        ("name", "id", "added", ""),
        (
            (
                clean(row.name),
                clean(row.id),
                moment(row.created_at),
                "disabled" if row.disabled_at else "",
            )
            for row in rows
        ),
        empty="no users: add one with `engine user add NAME`",
    )


@user.command()
def password(
    name: Name,
    *,
    stdin: Stdin = False,
    revoke: Annotated[
        bool | None,
        typer.Option("--revoke-tokens/--keep-tokens", help="What becomes of API tokens [asked]."),
    ] = None,
) -> None:
    """Set a user's password; every session and sign-in link of theirs ends."""
    with database() as opened:
        found = opened.read(lambda connection: users.find(connection, name))
        hashed = secrets.hash_password(_ask(stdin=stdin))
        working = opened.read(lambda connection: users.working_tokens(connection, found.id))
        if revoke is None and working and sys.stdin.isatty() and not stdin:
            revoke = confirm(f"{clean(name)} has {_tokens(working)}. Revoke them too?")
        now = opened.now()

        def work(connection: Connection) -> int:
            users.set_password(connection, found.id, hashed)
            return users.revoke_tokens(connection, found.id, now) if revoke else 0

        revoked = opened.write(work)
    console.print(f"changed the password of {clean(name)}; their sessions and sign-in links ended")
    if revoked:
        console.print(f"revoked {_tokens(revoked)}")
    elif working:
        hint = "--revoke-tokens ends them all, `engine token revoke` one"
        console.print(f"{clean(name)} has {_tokens(working)} that still work: {hint}")


def _tokens(number: int) -> str:
    return f"{number} API token{'' if number == 1 else 's'}"


@user.command()
def link(name: Name) -> None:
    """Print a link that signs the user in, once, within ten minutes."""
    with database() as opened:
        found = opened.read(lambda connection: users.find(connection, name))
        console.print(settings().origin + links.create_link(opened, found.id))


@user.command()
def disable(name: Name) -> None:
    """Shut a user out: sessions, tokens and links stop working at once."""
    with database() as opened:
        found = opened.read(lambda connection: users.find(connection, name))
        now = opened.now()
        opened.write(lambda connection: users.disable(connection, found.id, now))
    console.print(f"disabled {clean(name)}")


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="Where it will be used.")],
    *,
    as_user: As = None,
    as_json: Json = False,
) -> None:
    """Make an API token and print it, alone and only this once."""
    if not 1 <= len(name) <= 64:
        raise InvalidError("a token's name has 1 to 64 characters")
    with database() as opened:
        token_id, secret = create_token(opened, acting(opened, as_user).id, name)
    if as_json:
        print_json({"id": token_id, "name": name, "token": secret})
    else:
        sys.stdout.write(secret + "\n")


@token.command("list")
def list_tokens(*, as_user: As = None, as_json: Json = False) -> None:
    """List your API tokens, without their secrets."""
    with database() as opened:
        owner = acting(opened, as_user)
        rows = every(opened, lambda c, cursor: users.tokens(c, owner.id, cursor=cursor, limit=MOST))
    if as_json:
        print_json({"items": rows})
        return
    print_table(
        ("id", "name", "begins with", "made", "last used", ""),
        (
            (
                clean(row.id),
                clean(row.name),
                clean(row.hint),
                moment(row.created_at),
                moment(row.last_used_at),
                "revoked" if row.revoked_at else "",
            )
            for row in rows
        ),
        empty="no tokens: make one with `engine token create NAME`",
    )


@token.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id.")],
    *,
    as_user: As = None,
) -> None:
    """Revoke an API token: it stops working at once."""
    with database() as opened:
        owner, now = acting(opened, as_user), opened.now()
        opened.write(lambda connection: users.revoke_token(connection, owner.id, token_id, now))
