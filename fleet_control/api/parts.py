"""What the routes share: who asks, and whom they ask."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fleet_control.api import asked
from fleet_control.api.access import PERSON_PATTERN, AccessFile, Caller
from fleet_control.api.metrics import ControlMetrics
from fleet_control.rollouts.ports import Control

# Entries of the log and carts on one page: an answer stays below a few megabytes.
MAX_PAGE = 1_000
# Threads for actions, and others for everything else; the database has a connection for each. So a pause
# waits behind slow reads neither for a thread nor for a connection. More of them, and two controllers that
# are asked much exceed the 97 connections that PostgreSQL has for its users unless told otherwise.
ACTING_THREADS = 16
READING_THREADS = 16
PERSON_HEADER = "X-Cartwright-Person"
# A key that is short is a key that somebody else has, too: it is kept for ever.
KEY_PATTERN = r"^[A-Za-z0-9._:-]{8,128}$"

bearer = HTTPBearer(auto_error=False, description="A service token; see `cartwright control token create`.")


@dataclass(frozen=True, slots=True)
class Parts:
    """What one API is made of.

    Attributes:
        control: Carries out and knows.
        access: Knows who calls.
        metrics: Count.
        not_ready: Returns why the service is not ready; empty if it is.
        acting: Threads in which actions are carried out.
    """

    control: Control
    access: AccessFile
    metrics: ControlMetrics
    not_ready: Callable[[], str]
    acting: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(ACTING_THREADS))


async def parts_of(request: Request) -> Parts:
    """Return what the API of a request is made of."""
    parts: Parts = request.app.state.parts
    return parts


async def signed_in(
    request: Request,
    parts: Annotated[Parts, Depends(parts_of)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    _: Annotated[
        str,
        Header(
            alias=PERSON_HEADER,
            # Said and not checked here: whoever has no token is told that first.
            json_schema_extra={"pattern": PERSON_PATTERN},
            description="E-mail address of whom a service speaks for; only with a token that may.",
        ),
    ] = "",
) -> Caller:
    """Return who calls.

    Raises:
        NotSignedInError: nobody knows the token, or it has expired.
        PersonRefusedError: it may not speak for people, or the header names nobody.
    """
    # On the loop, not in a thread that it might have to wait for: it is a look at the file's date.
    # An empty header is no missing one: a dashboard that lost the name must not act in its own.
    person = request.headers.get(PERSON_HEADER)
    return parts.access.caller(credentials.credentials if credentials else None, person)


PartsOf = Annotated[Parts, Depends(parts_of)]
SignedIn = Annotated[Caller, Depends(signed_in)]
RolloutId = Annotated[str, Path(pattern=asked.ROLLOUT_PATTERN)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        description="The same command under the same key is done once: send it again when no answer came.",
    ),
]
