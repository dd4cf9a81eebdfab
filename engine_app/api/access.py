"""Who you are, and your API tokens."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from engine.errors import Forbidden
from engine.store import reads
from engine.store.writes import users
from engine.store.writes.users import TokenRecord
from engine_app.api import shapes
from engine_app.api.guard import Me, With
from engine_app.api.strict import Body, up_to
from engine_app.auth.tokens import create_token

router = APIRouter(route_class=up_to(10_000), tags=["access"])


class NewToken(Body):
    """What to call the token: where it will be used."""

    name: str = Field(min_length=1, max_length=64)


class TokenMade(BaseModel):
    """The token itself: it is never shown again."""

    id: str
    name: str
    token: str


@router.get("/me", response_model=None)
def me(me: Me) -> Response:
    """Who the session or token belongs to."""
    return shapes.json({"id": me.id, "name": me.name})


@router.get("/tokens", response_model=shapes.page_of(TokenRecord))
def tokens(
    me: Me, parts: With, cursor: shapes.Cursor = None, limit: shapes.Limit = reads.PAGE
) -> Response:
    """Your API tokens, newest first, without their secrets."""
    return shapes.page(
        parts.database.read(
            lambda connection: users.tokens(connection, me.id, cursor=cursor, limit=limit)
        )
    )


@router.post("/tokens", status_code=201, response_model=TokenMade)
def create(wanted: NewToken, me: Me, parts: With) -> Response:
    """Make an API token. Its secret is in this answer and nowhere else. Only a person who is signed
    in makes one: a token that leaks must not outlive its revocation in others that it made."""
    if me.token is not None:
        raise Forbidden(
            "a token cannot make tokens",
            hint="sign in by the browser, or use `engine token create NAME`",
        )
    token_id, secret = create_token(parts.database, me.id, wanted.name)
    return shapes.json({"id": token_id, "name": wanted.name, "token": secret}, status=201)


@router.delete("/tokens/{token_id}", status_code=204, response_class=Response)
def revoke(token_id: str, me: Me, parts: With) -> Response:
    """Revoke a token: it stops working at once."""
    now = parts.database.now()
    parts.database.write(lambda connection: users.revoke_token(connection, me.id, token_id, now))
    return Response(status_code=204)
