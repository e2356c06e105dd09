"""What updates need of the outside, each as one narrow Protocol."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol


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
