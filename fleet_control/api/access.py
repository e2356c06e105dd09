"""Who calls: service tokens, and the people that a service speaks for: one TOML file.

    [[tokens]]
    name = "dashboard"
    role = "rollout_owner"
    sha256 = "9f86..."
    expires = 2027-02-26T00:00:00Z
    acts_for_people = true

    [people]
    "ann@example.com" = "on_call"

A token is 256 random bits, so nobody can try them all: its plain SHA-256 gives nothing away, and a slow hash,
which protects what people choose, would only slow every request.
"""

import hashlib
import hmac
import os
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Struct, field

from fleet_control.errors import NotSignedInError, PersonRefusedError, TokensFileError
from fleet_control.rollouts.states import Role
from fleet_protocol.fields import Sha256

_log = structlog.get_logger(__name__)

# Scanners for leaked secrets find tokens by it.
PREFIX = "cwt_"
# A file with more is a mistake; it is read into memory whole.
MAX_FILE_BYTES = 1 << 20
# Of an e-mail address; nothing in it can be mistaken for something else in a log.
PERSON_PATTERN = r"^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,189}$"
_RANK = {Role.VIEWER: 0, Role.ON_CALL: 1, Role.OWNER: 2}

TokenName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}\Z")]
Email = Annotated[str, Meta(pattern=r"^[a-z0-9._%+'-]{1,64}@[a-z0-9.-]{1,189}\Z")]


class Token(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service token.

    Attributes:
        name: Of the service; it is the actor in the audit log.
        role: The most that it may do.
        sha256: Of the token, in hex.
        expires: From then on it is refused.
        acts_for_people: It may name the person whom it speaks for.
    """

    name: TokenName
    role: Role
    sha256: Sha256
    expires: Annotated[datetime, Meta(tz=True)]
    acts_for_people: bool = False


class AccessList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everybody who may call.

    Attributes:
        tokens: Those of services.
        people: Role of each person, by e-mail address in small letters; everybody else is a viewer.
    """

    tokens: tuple[Token, ...] = ()
    people: dict[Email, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may do."""

    name: str
    role: Role


def parse_access(document: bytes, name: str) -> AccessList:
    """Read the document of a tokens file.

    Raises:
        TokensFileError: something in it is wrong.
    """
    try:
        listed = msgspec.toml.decode(document, type=AccessList)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TokensFileError(name, str(error)) from error
    names = [token.name for token in listed.tokens]
    if len(set(names)) < len(names):
        raise TokensFileError(name, "two tokens have the same name")
    return listed


def identify(listed: AccessList, token: str | None, person: str | None, now_s: float) -> Caller:
    """Return who calls.

    Args:
        listed: Everybody who may.
        token: As it came; None: none did.
        person: E-mail address of whom it speaks for; None: for itself.
        now_s: The time.

    Raises:
        NotSignedInError: nobody knows this token, or it has expired.
        PersonRefusedError: it may not speak for people, or this is no address.
    """
    found = _token(listed, token or "")
    if found is None:
        raise NotSignedInError("no token was sent" if not token else "nobody knows this token")
    if now_s >= found.expires.timestamp():
        raise NotSignedInError(f"the token of {found.name} expired at {found.expires:%Y-%m-%d %H:%M} UTC")
    return Caller(found.name, found.role) if person is None else _person(listed.people, found, person)


def _token(listed: AccessList, token: str) -> Token | None:
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    found = None
    # All are compared: the time says nothing about which one it is.
    for one in listed.tokens:
        if hmac.compare_digest(one.sha256, digest):
            found = one
    return found


def _person(people: Mapping[str, Role], token: Token, person: str) -> Caller:
    if not token.acts_for_people:
        raise PersonRefusedError(f"the token of {token.name} may not speak for people")
    try:
        email = msgspec.convert(person.strip().lower(), Email)
    except msgspec.ValidationError as error:
        raise PersonRefusedError("the person is no e-mail address") from error
    role = people.get(email, Role.VIEWER)
    return Caller(email, min(role, token.role, key=_RANK.__getitem__))


class AccessFile:
    """The tokens file, read again when it changes. May be called from any thread.

    A file that is gone lets nobody in. One that is no list leaves the last good list in force and says so in
    the log: a slip of the editor must not lock out whoever has to pause a rollout.

    Args:
        path: Where it is.
        now_s: The time.

    Raises:
        TokensFileError: it cannot be used from the start.
    """

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self._lock = threading.Lock()
        self._listed = parse_access(read_tokens_file(path), str(path))
        self._seen = _version(path)

    def caller(self, token: str | None, person: str | None) -> Caller:
        """Return who calls.

        Raises:
            NotSignedInError: nobody knows this token, or it has expired.
            PersonRefusedError: it may not speak for people, or this is no address.
        """
        return identify(self._newest(), token, person, self._now_s())

    def _newest(self) -> AccessList:
        with self._lock:
            version = _version(self._path)
            if version != self._seen:
                self._seen = version
                self._listed = self._read_again(gone=version is None)
            return self._listed

    def _read_again(self, *, gone: bool) -> AccessList:
        if gone:
            _log.error("tokens file is gone: nobody can sign in", path=str(self._path))
            return AccessList()
        try:
            listed = parse_access(read_tokens_file(self._path), str(self._path))
        except TokensFileError as error:
            _log.error("tokens file not taken: the last good one holds", why=str(error))
            return self._listed
        _log.info("tokens file read again", tokens=len(listed.tokens), people=len(listed.people))
        return listed


def read_tokens_file(path: Path) -> bytes:
    """Return the document of a tokens file.

    Raises:
        TokensFileError: it cannot be read, or others may write it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            document = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TokensFileError(str(path), error.strerror or str(error)) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TokensFileError(str(path), "others than its owner may write it: chmod 600")
    if len(document) > MAX_FILE_BYTES:
        raise TokensFileError(str(path), f"larger than {MAX_FILE_BYTES} bytes")
    return document


def _version(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
