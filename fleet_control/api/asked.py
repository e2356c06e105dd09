"""What callers send, and its limits."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_REASON = 500
# No character that a terminal, a log or a database could trip over.
REASON_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
ROLLOUT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
# So many ids fit into a body; more of them are retried by naming none.
MAX_NAMED_CARTS = 5_000

CartId = Annotated[str, Field(pattern=ID_PATTERN)]
RequestedAction = Literal[
    "approve", "start", "pause", "resume", "roll_back", "abort_keep", "abort_revert", "retry", "promote"
]


def _whole(value: object) -> object:
    """Take 7.0 for 7, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ActionRequest(BaseModel):
    """What somebody asks of a rollout."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: RequestedAction
    reason: Annotated[str, Field(max_length=MAX_REASON, pattern=REASON_PATTERN)] = ""
    expected_version: Annotated[int, Field(ge=1, le=2**53), BeforeValidator(_whole)] | None = None
    carts: Annotated[list[CartId], Field(max_length=MAX_NAMED_CARTS)] = []
