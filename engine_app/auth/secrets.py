"""Secrets that the engine makes, and passwords that people choose."""

from __future__ import annotations

import hashlib
import secrets
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.errors import Fault, InvalidUser

TOKEN_PREFIX = "ee_"  # noqa: S105  # no secret: lets scanners recognise a leaked token
MIN_PASSWORD = 10
MAX_PASSWORD = 256  # argon2 reads all of it: without a limit a long one is a cheap attack
# argon2-cffi's defaults follow RFC 9106's second recommendation (64 MiB, 3 passes, 4 lanes).
# Source: https://www.rfc-editor.org/rfc/rfc9106#section-4
_HASHER = PasswordHasher()
# Of the 64 MiB that each takes: forty sign-ins at once must not take what the steps need.
_AT_ONCE = threading.BoundedSemaphore(4)


def new_secret() -> str:
    """Return 256 random bits as text that is safe in URLs."""
    return secrets.token_urlsafe(32)


def new_token() -> str:
    """Return a new API token."""
    return TOKEN_PREFIX + new_secret()


def digest(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password.

    Raises:
        InvalidUser: it is too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        problem = f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        raise InvalidUser("the password cannot be used", faults=[Fault("password", problem)])
    with _AT_ONCE:
        return _HASHER.hash(password)


def password_fits(stored: str | None, password: str) -> bool:
    """Return whether the password is the stored one; takes as long when there is none."""
    try:
        with _AT_ONCE:
            matches = _HASHER.verify(stored or _nobodys_hash(), password[: MAX_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        return False
    return matches and stored is not None


def is_outdated(stored: str) -> bool:
    """Return whether the hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


@cache
def _nobodys_hash() -> str:
    """Return a hash to check against for unknown names, so that they cannot be told by time."""
    return _HASHER.hash(new_secret())
