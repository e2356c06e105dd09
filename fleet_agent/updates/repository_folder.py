"""Models in folders of this machine: the double of the model repository, for tests and for carts on a bench.

It behaves as a network does: in pieces, with a stop between any two, and it goes on where it was. What it
copies is checked by nobody but the cart's own activation.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fleet_agent.errors import FetchStoppedError, RepositoryRefusedError, RepositoryUnreachableError

PIECE_BYTES = 65_536


class FolderRepository:
    """Serves models from folders.

    Args:
        models: Folder of each model, by the sha256 of its manifest.
        piece_bytes: How much is copied between two looks at `stop`.

    Attributes:
        reachable: False plays a network that is down.
        copied_bytes: In all.
    """

    def __init__(self, models: Mapping[str, Path], *, piece_bytes: int = PIECE_BYTES) -> None:
        self._models = models
        self._piece_bytes = piece_bytes
        self.reachable = True
        self.copied_bytes = 0

    def fetch(
        self,
        digest: str,
        manifest: str,
        into: Path,
        *,
        on_progress: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> Path:
        """Copy a model's folder; see `ModelRepository`."""
        source = self._models.get(manifest)
        if source is None:
            raise RepositoryRefusedError(f"there is no model {digest}")
        files = sorted(path for path in source.rglob("*") if path.is_file())
        of_bytes = sum(path.stat().st_size for path in files)
        done_bytes = 0
        for path in files:
            target = into / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            for size_bytes in self._copy(path, target, stop):
                done_bytes += size_bytes
                on_progress(done_bytes, of_bytes)
        return into

    def _copy(self, source: Path, target: Path, stop: Callable[[], bool]) -> Iterator[int]:
        """Copy what is missing; yields the bytes that are there, and each piece that comes."""
        with source.open("rb") as reader, target.open("ab") as writer:
            there_bytes = os.fstat(writer.fileno()).st_size
            reader.seek(there_bytes)
            yield there_bytes
            while not stop():
                if not self.reachable:
                    raise RepositoryUnreachableError("the network is down")
                piece = reader.read(self._piece_bytes)
                if not piece:
                    return
                writer.write(piece)
                self.copied_bytes += len(piece)
                yield len(piece)
        raise FetchStoppedError("fetching was stopped")

    def close(self) -> None:
        """Nothing is held."""
