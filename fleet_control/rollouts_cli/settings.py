"""Where the API is, and who asks: from options, the environment and files. A token is never an argument."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fleet_control.api.addresses import is_loopback
from fleet_control.errors import ControlAddressError, ControlSettingError

URL_ENV = "CARTWRIGHT_CONTROL"
TOKEN_ENV = "CARTWRIGHT_CONTROL_TOKEN"  # noqa: S105  # the variable's name
TOKEN_FILE_ENV = "CARTWRIGHT_CONTROL_TOKEN_FILE"  # noqa: S105
DEFAULT_URL = "http://127.0.0.1:9103"
# Where an address comes from, for errors about it.
WHERE_SET = f"--control or {URL_ENV}"
_FORM = f"https://HOST[:PORT], or http://HOST[:PORT] on this machine ({WHERE_SET})"
# A token has 47 characters; a file that is longer holds something else.
_MAX_TOKEN_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the API is and with which token to call it. The token is kept out of `repr`."""

    url: str
    token: str = field(repr=False)


def connection(
    environment: Mapping[str, str],
    *,
    url: str | None,
    token_file: Path | None,
    plain_http: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Connection:
    """Return where to call with what.

    Args:
        environment: Variables of the process.
        url: From the command line; None: the environment's, or this machine's.
        token_file: From the command line; None: the environment's.
        plain_http: Send the token unencrypted to another machine, too.
        warn: Says what should be changed soon.

    Raises:
        ControlAddressError: the address is none.
        ControlSettingError: there is no token, or the address is none that a token may be sent to.
    """
    address = (url or environment.get(URL_ENV) or DEFAULT_URL).rstrip("/")
    return Connection(_checked(address, plain_http=plain_http), _token(environment, token_file, warn))


def _checked(address: str, *, plain_http: bool) -> str:
    # An address that cannot be read is not quoted: it may hold a password.
    if "://" not in address:
        raise ControlAddressError(f"the control API's address has no https:// in front: {_FORM}")
    try:
        parts = urlsplit(address)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise ControlAddressError(f"the control API's address cannot be read: {_FORM}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ControlAddressError(f"the control API's address is {_FORM}; no user, no query")
    if parts.scheme == "http" and not plain_http and not is_loopback(parts.hostname):
        raise ControlSettingError(
            f"the token would travel to {parts.hostname} unencrypted: use https, or say --plain-http"
        )
    return address


def _token(environment: Mapping[str, str], token_file: Path | None, warn: Callable[[str], None]) -> str:
    if token_file is None and (token := environment.get(TOKEN_ENV, "").strip()):
        return _sendable(token, TOKEN_ENV)
    path = token_file or (Path(environment[TOKEN_FILE_ENV]) if environment.get(TOKEN_FILE_ENV) else None)
    if path is None:
        raise ControlSettingError(f"no token: set {TOKEN_ENV}, or name a file with --token-file")
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(_MAX_TOKEN_CHARACTERS + 1).strip()
    except OSError as error:
        raise ControlSettingError(f"the token file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ControlSettingError(f"the token file {path} holds no token") from error
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"warning: others on this machine may read the token file: chmod 600 {path}")
    return _sendable(token, str(path))


def _sendable(token: str, where: str) -> str:
    printable = all("!" <= character <= "~" for character in token)
    if not token or len(token) > _MAX_TOKEN_CHARACTERS or not printable:
        raise ControlSettingError(f"{where} holds no token")
    return token
