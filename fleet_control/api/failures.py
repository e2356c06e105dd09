"""From errors to answers: one shape, the right status, and enough data to go on.

| status | code | when |
|---|---|---|
| 400 | `plan`, `bad_request` | a plan or a parameter is wrong; `field` says which |
| 401 | `not_signed_in` | no token, an unknown one, or an expired one |
| 403 | `forbidden` | the role is not enough |
| 404 | `unknown_rollout`, `not_found` | there is none |
| 409 | `refused`, `stale_version`, `carts_taken`, `reused_key` | the state forbids it |
| 413, 415, 422 | `too_large`, `media_type`, `malformed` | a body that cannot be read |
| 503 | `unavailable` | a database, broker or repository is away; `Retry-After` says when to ask again |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_control.errors import (
    ActionRefusedError,
    BrokerError,
    CartsTakenError,
    FencedError,
    FleetControlError,
    NotSignedInError,
    PersonRefusedError,
    PlanError,
    RegistryError,
    RequestRefusedError,
    ReusedKeyError,
    StaleVersionError,
    StoreError,
    UnknownRolloutError,
)

# Soon enough for a person who waits, and long enough for a database that is being replaced.
RETRY_AFTER_S = 2
# Of the carts that are in another rollout: more would make an answer that nobody reads.
MAX_NAMED_TAKEN = 1_000
_AWAY = (StoreError, FencedError, BrokerError, RegistryError)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the API says it.

    Attributes:
        status: Of HTTP.
        code: For programs.
        message: For people.
        data: More of it, by name.
        headers: Of HTTP.
    """

    status: int
    code: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return what is sent."""
        return {"error": {"code": self.code, "message": self.message, **self.data}}


def failure_of(error: FleetControlError) -> Failure:
    """Return how an error is said."""
    text = str(error)
    if isinstance(error, RequestRefusedError):
        return Failure(error.status, error.code, text)
    if isinstance(error, PlanError):
        return Failure(400, "plan", text, {"field": error.field} if error.field else {})
    if isinstance(error, NotSignedInError):
        return Failure(401, "not_signed_in", text, headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, PersonRefusedError):
        return Failure(403, "forbidden", text)
    if isinstance(error, _AWAY):
        return Failure(503, "unavailable", text, headers={"Retry-After": str(RETRY_AFTER_S)})
    return _refusal(error, text)


def _refusal(error: FleetControlError, text: str) -> Failure:
    if isinstance(error, UnknownRolloutError):
        return Failure(404, "unknown_rollout", text)
    if isinstance(error, ActionRefusedError):
        status, code = (403, "forbidden") if error.forbidden else (409, "refused")
        return Failure(status, code, text, {"action": error.action, "why": error.why})
    if isinstance(error, StaleVersionError):
        return Failure(409, "stale_version", text, {"expected": error.expected, "found": error.found})
    if isinstance(error, CartsTakenError):
        named = dict(sorted(error.taken.items())[:MAX_NAMED_TAKEN])
        return Failure(409, "carts_taken", text, {"carts": named, "count": len(error.taken)})
    if isinstance(error, ReusedKeyError):
        return Failure(409, "reused_key", text)
    return Failure(500, "internal", "an error of the service; its log says more")


def invalid(errors: Sequence[Any]) -> Failure:
    """Return how parameters that were not accepted are said."""
    if any(error["type"] == "json_invalid" for error in errors):
        return Failure(422, "malformed", "the body is not JSON")
    if tuple(errors[0]["loc"]) == ("body",):
        return Failure(400, "bad_request", "send a JSON object, with Content-Type: application/json")
    first = errors[0]
    where, *path = (str(part) for part in first["loc"])
    name = ".".join(path) or where
    problems = [{"field": ".".join(map(str, error["loc"])), "message": error["msg"]} for error in errors[:20]]
    return Failure(
        400, "bad_request", f"{name} ({where}): {first['msg']}", {"field": name, "problems": problems}
    )
