"""Ask Redis a question or two, as commands and checks do: a silent server is told of in 3 s."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SECONDS = 3.0


def asking(url: str) -> redis.Redis:
    """Return a client that fails within 3 s, and never tries again by itself."""
    return redis.Redis.from_url(
        url,
        socket_timeout=SECONDS,
        socket_connect_timeout=SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def why_not(error: Exception) -> str:
    """Return why Redis does not do what it was asked, in words that follow its name.

    A server that answers by a refusal (a password, a disk that is full) is not one that is silent.
    """
    refused = isinstance(error, redis.ResponseError | redis.AuthenticationError)
    return f"refuses: {error}" if refused else "does not answer"


def told(error: Exception) -> str:
    """Return the same with the words of the error, for who can look after the server."""
    found = why_not(error)
    return found if str(error) in found else f"{found}: {error}"
