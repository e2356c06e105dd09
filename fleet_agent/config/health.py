"""The cart's health: who may ask, and when it helps itself."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from fleet_agent.config.kinds import doc


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """Health of the cart."""

    host: str = field(
        default="127.0.0.1", metadata=doc("Address on which `/live`, `/ready` and `/metrics` are served.")
    )
    port: Annotated[int, Meta(ge=0, le=65535)] = field(default=0, metadata=doc("Its port; 0 serves nothing."))
