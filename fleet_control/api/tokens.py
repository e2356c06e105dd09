"""Make tokens: the file gets the digest, and whoever made it sees the token once."""

import fcntl
import hashlib
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fleet_control.api.access import PREFIX, Token, parse_access
from fleet_control.errors import TokensFileError
from fleet_control.rollouts.states import Role

# 256 bits: see `access`.
_TOKEN_BYTES = 32


def create_token(path: Path, name: str, role: Role, expires_s: float, *, acts_for_people: bool) -> str:
    """Append a token to a tokens file, which is made if there is none.

    Args:
        path: Of the file.
        name: Of the service.
        role: The most that it may do.
        expires_s: From then on it is refused, epoch seconds.
        acts_for_people: It may name the person whom it speaks for.

    Returns:
        The token. It is kept nowhere.

    Raises:
        TokensFileError: the file cannot be written or read, or has a token of that name.
    """
    token = PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    entry = _entry(_checked(path, name, role, token, expires_s, acts_for_people=acts_for_people))
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TokensFileError(str(path), error.strerror or str(error)) from error
    with os.fdopen(handle, "r+b") as file:
        # Two who make tokens at once wait for each other.
        fcntl.flock(file, fcntl.LOCK_EX)
        present = file.read()
        listed = parse_access(present, str(path))
        if name in (other.name for other in listed.tokens):
            raise TokensFileError(
                str(path), f"there is a token named {name!r} already; delete its entry first"
            )
        file.write((b"" if not present or present.endswith(b"\n") else b"\n") + entry)
        file.flush()
        os.fsync(file.fileno())
    return token


def _checked(
    path: Path, name: str, role: Role, token: str, expires_s: float, *, acts_for_people: bool
) -> Token:
    try:
        expires = datetime.fromtimestamp(int(expires_s), UTC)
        wished = {
            "name": name,
            "role": role.value,
            "sha256": hashlib.sha256(token.encode()).hexdigest(),
            "expires": expires,
            "acts_for_people": acts_for_people,
        }
        return msgspec.convert(wished, Token)
    except (msgspec.ValidationError, OverflowError, ValueError, OSError) as error:
        raise TokensFileError(str(path), f"no such token can be: {error}") from error


def _entry(token: Token) -> bytes:
    """Return a token in TOML; none of its values needs quoting."""
    lines = [
        "",
        "[[tokens]]",
        f'name = "{token.name}"',
        f'role = "{token.role.value}"',
        f'sha256 = "{token.sha256}"',
        f"expires = {token.expires:%Y-%m-%dT%H:%M:%SZ}",
    ]
    if token.acts_for_people:
        lines.append("acts_for_people = true")
    return ("\n".join(lines) + "\n").encode()
