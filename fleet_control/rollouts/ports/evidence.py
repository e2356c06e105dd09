"""What proves that carts run a model, and which models there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Proof:
    """What a cart's newest telemetry shows.

    Attributes:
        running: Digest that its newest windows carry.
        windows: How many in a row carry it.
        inferences: In them.
        last_ms: End of the newest one.
    """

    running: str
    windows: int
    inferences: int
    last_ms: int


class Proofs(Protocol):
    """Telemetry in the warehouse. Raises only `WarehouseError`."""

    def running(self, carts: Sequence[tuple[str, str]], since_ms: int) -> Mapping[str, Proof]:
        """Return what carts (store, cart) run, as far as telemetry since a time shows."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model in the registry.

    Attributes:
        digest: As in telemetry.
        name: Of its manifest.
        version: Of its manifest.
        manifest: sha256 of `manifest.json`.
        size_bytes: Of all its files.
        published_ms: When.
    """

    digest: str
    name: str
    version: str
    manifest: str
    size_bytes: int
    published_ms: int


class Registry(Protocol):
    """The model repository, as far as rollouts need it. Raises only `RegistryError`."""

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models, the newest first."""

    def fetchable(self, digest: str) -> bool:
        """Whether a cart that asks now gets every file of it, unexpired and signed."""
