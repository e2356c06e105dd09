"""What the registry offers, seen as a cart sees it: through TUF, believing nothing that is not signed."""

import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater

from fleet_control.errors import RegistryError
from fleet_control.registry import catalogue
from fleet_control.registry.fetching import BoundedFetcher, FolderFetcher, HttpFetcher
from fleet_control.registry.model import MANIFEST, parse_manifest
from fleet_control.rollouts.ports import PublishedModel

# Longest wait for the lists of the repository, however its server drips them. Lower refuses slow lines;
# higher, and a caller of the API waits for a broken one.
LISTS_S = 20.0
# Longest wait for a model that has never been checked: gigabytes, once. Lower refuses large models.
MODEL_S = 600.0

T = TypeVar("T")


class RepositoryRegistry:
    """The `Registry` of rollouts. Any thread may call.

    Args:
        source: Address (`https://...`) or folder of the repository.
        root: The root that is trusted from the start, as carts have it.
        lists_s: Longest wait for the lists.
    """

    def __init__(self, source: str | Path, root: bytes, *, lists_s: float = LISTS_S) -> None:
        self._root = root
        self._lists_s = lists_s
        self._lock = threading.Lock()
        self._cache = tempfile.TemporaryDirectory(prefix="cartwright-registry-")
        self._seen: set[str] = set()
        self._fetcher: BoundedFetcher
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            self._base, self._fetcher = f"{source.rstrip('/')}/", HttpFetcher()
        else:
            self._base, self._fetcher = "", FolderFetcher(Path(source))
        self._fetcher.metadata_s = lists_s

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models, the newest first.

        Raises:
            RegistryError: the repository does not answer, or what it says is not signed as it must be.
        """
        try:
            return catalogue.published_models(self._lists()[1])
        except RepositoryError as error:
            raise RegistryError(f"carts would refuse the model repository: {error}") from error

    def fetchable(self, digest: str) -> bool:
        """Whether a cart that asks now gets every file of a model, unexpired and signed.

        The files are downloaded and checked once; later calls ask whether they are still signed and there.

        Raises:
            RegistryError: the repository does not answer.
        """
        try:
            updater, targets = self._lists()
            own = catalogue.of_model(targets, digest)
            return MANIFEST in own and within(MODEL_S, lambda: self._complete(updater, own))
        except RepositoryError:
            return False

    def close(self) -> None:
        """Delete what was kept; calling twice is harmless."""
        self._cache.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lists(self) -> tuple[Updater, dict[str, TargetFile]]:
        """Return TUF's client and all targets, as of now."""
        if not self._lock.acquire(timeout=self._lists_s):
            raise RegistryError(f"the model repository has not answered for {self._lists_s:.0f} s")

        def fetched() -> tuple[Updater, dict[str, TargetFile]]:
            # The lock is given back when the lists are there, not when nobody waits for them any more: they
            # are written into one folder.
            try:
                updater = self._updater()
                return updater, self._targets(updater)
            finally:
                self._lock.release()

        return within(self._lists_s, fetched)

    def _updater(self) -> Updater:
        folder = Path(self._cache.name)
        return Updater(
            str(folder),
            f"{self._base}metadata/",
            target_base_url=f"{self._base}targets/",
            fetcher=self._fetcher,
            bootstrap=self._root,
        )

    def _targets(self, updater: Updater) -> dict[str, TargetFile]:
        try:
            updater.refresh()
            targets = Metadata[Targets].from_file(str(Path(self._cache.name) / "targets.json"))
        except DownloadLengthMismatchError as error:
            raise RegistryError(f"the model repository sends more than carts would take: {error}") from error
        except (DownloadError, OSError) as error:
            raise RegistryError(f"the model repository does not answer: {error}") from error
        return targets.signed.targets

    def _complete(self, updater: Updater, own: dict[str, TargetFile]) -> bool:
        """Tell whether every file that the manifest lists is there; the manifest is fetched each time."""
        document = self._download(updater, own[MANIFEST])
        if document is None:
            return False
        try:
            files = parse_manifest(document, MANIFEST).files
        except RegistryError:  # carts could not read it either
            return False
        if any(name not in own or own[name].hashes.get("sha256") != sha256 for name, sha256 in files.items()):
            return False
        return all(
            self._is_there(target)
            if target.hashes["sha256"] in self._seen
            else self._download(updater, target) is not None
            for target in own.values()
        )

    def _is_there(self, target: TargetFile) -> bool:
        """Tell whether a file that was checked before still comes."""
        try:
            next(self._fetcher.fetch(f"{self._base}{catalogue.file_name(target)}"), b"")
        except DownloadHTTPError:
            return False
        except (DownloadError, OSError) as error:
            raise RegistryError(f"the model repository does not answer: {error}") from error
        return True

    def _download(self, updater: Updater, target: TargetFile) -> bytes | None:
        """Download and check a file; None: it is not there. Only small ones are returned whole."""
        try:
            with tempfile.NamedTemporaryFile(dir=self._cache.name) as file:
                updater.download_target(target, file.name)
                self._seen.add(target.hashes["sha256"])
                return Path(file.name).read_bytes() if target.path.endswith(MANIFEST) else b""
        except DownloadHTTPError:
            return None
        except (DownloadError, OSError) as error:
            raise RegistryError(f"the model repository does not answer: {error}") from error


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """Return what work returns, or raise what it raises; a server that drips may keep it for ever, not us.

    Raises:
        RegistryError: it was not done in time. Its thread goes on, and whatever it does is not seen.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  # it is raised where somebody waits
            done.set_exception(error)

    threading.Thread(target=run, name="registry", daemon=True).start()
    try:
        return done.result(timeout_s)
    except FutureTimeoutError as error:
        raise RegistryError(f"the model repository has not answered for {timeout_s:.0f} s") from error
