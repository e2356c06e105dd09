"""From the environment to the control API."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from dashboard.errors import NotConnectedError, TargetError
from dashboard.sources.control import ControlSource
from dashboard.sources.control_http import HttpControl
from dashboard.sources.fake_control import FakeCondition, FakeControl

URL_VARIABLE = "CARTWRIGHT_CONTROL"
TOKEN_VARIABLE = "CARTWRIGHT_CONTROL_TOKEN"  # noqa: S105  # the name of a variable
TOKEN_FILE_VARIABLE = "CARTWRIGHT_CONTROL_TOKEN_FILE"  # noqa: S105  # likewise
_FAKE = "fake"
_MOST_TOKEN_BYTES = 4096
HOW_TO_CONNECT = (
    f"Set {URL_VARIABLE} to the address of the control API and {TOKEN_VARIABLE} or {TOKEN_FILE_VARIABLE} "
    f"to a service token, then start the dashboard again; {URL_VARIABLE}=fake shows simulated rollouts."
)


def open_control(
    url: str | None, person: str | None, environment: Mapping[str, str] = os.environ
) -> ControlSource:
    """Open the control API.

    Args:
        url: `http(s)://HOST[:PORT]`, or `fake` for simulated rollouts in memory (`fake:empty`, `fake:away`,
            `fake:viewer` and `fake:on_call` show other states).
        person: Who is logged in, by e-mail address.
        environment: Holds the token, or the name of its file.

    Raises:
        NotConnectedError: no address is set.
        TargetError: it is none, or there is no token.
    """
    if not url:
        raise NotConnectedError(HOW_TO_CONNECT)
    if url.partition(":")[0] == _FAKE:
        return _open_fake(url.partition(":")[2], person)
    if not _is_address(url):
        raise TargetError(f"{URL_VARIABLE} is not of the form http://HOST:PORT.")
    return HttpControl(url, _token_of(environment), person)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = parts.hostname is not None and parts.port != 0
    except ValueError:
        return False
    # A password in an address ends up in logs.
    return named and parts.scheme in ("http", "https") and not (parts.username or parts.query)


def _open_fake(condition: str, person: str | None) -> ControlSource:
    try:
        return FakeControl(lambda: datetime.now(UTC), FakeCondition(condition or "fine"), person)
    except ValueError:
        known = ", ".join(f"fake:{c.value}" for c in FakeCondition)
        raise TargetError(f"There is no fake:{condition}; there are {known}.") from None


def _token_of(environment: Mapping[str, str]) -> Callable[[], str]:
    """Return how to get the token: a file is read each time, so that it may be renewed."""
    file, token = environment.get(TOKEN_FILE_VARIABLE, ""), environment.get(TOKEN_VARIABLE, "")
    if file:
        return lambda: _checked(_first_line(Path(file)), TOKEN_FILE_VARIABLE)
    _checked(token.strip(), TOKEN_VARIABLE)
    return token.strip


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_TOKEN_BYTES).decode("ascii", "replace").split("\n", 1)[0].strip()
    except OSError as error:
        raise TargetError(f"The file of {TOKEN_FILE_VARIABLE} cannot be read.") from error


def _checked(token: str, variable: str) -> str:
    """Return the token; never say what is in it."""
    if not token:
        raise TargetError(f"There is no service token: set {TOKEN_VARIABLE} or {TOKEN_FILE_VARIABLE}.")
    if not all("!" <= char <= "~" for char in token):
        raise TargetError(f"{variable} does not hold a service token.")
    return token
