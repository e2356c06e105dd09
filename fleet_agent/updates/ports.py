"""What updates need of the outside, each as one narrow Protocol."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fleet_agent.basket.rest import Rest
from fleet_agent.model_change import ModelChange, Sight
from fleet_agent.wire import UpdateStep


class ModelRepository(Protocol):
    """Where models come from.

    Raises only `UpdateError`: `RepositoryUnreachableError` (try again later) or `RepositoryRefusedError`
    (signature, rollback, freeze, size: this try is over).
    """

    def fetch(
        self,
        digest: str,
        manifest: str,
        into: Path,
        *,
        on_progress: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> Path:
        """Download a model's folder, verified, and return it; resumes what an earlier call left in `into`.

        Args:
            digest: As in `Desired.model`.
            manifest: sha256 that its `manifest.json` must have.
            into: A folder for this model alone; made if it is not there.
            on_progress: Told bytes done and bytes in all.
            stop: Asked between chunks: True ends with `FetchStoppedError`, keeping what was downloaded.
        """

    def close(self) -> None:
        """Give back connections; calling twice is harmless."""


class RunningCart(Protocol):
    """The agent whose model is updated. Any thread may call."""

    def rest(self) -> Rest:
        """Return what goes on at the cart."""

    def sight(self) -> Sight:
        """Return how the network has fared since the start."""

    def use_model(self, change: ModelChange) -> bool:
        """Offer another model, once; False: the cart stops, and nobody will ask for it."""

    def report_update(self, step: UpdateStep) -> None:
        """Put a step into the spool.

        Raises:
            SpoolError: it could not be made durable.
        """
