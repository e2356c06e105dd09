"""The registry as rollouts see it: read as a cart would, with every signature checked."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from fleet_control.errors import RegistryError
from fleet_control.registry.models import IndexEntry, decode_index
from fleet_control.registry.repository import INDEX
from fleet_control.rollouts.ports import PublishedModel

# What was read serves for so long. Lower only reads more often.
FRESH_S = 5.0
TIMEOUT_S = 10.0
CHUNK_BYTES = 262_144


class RepositoryRegistry:
    """Implements `Registry` over a repository's address or folder.

    Args:
        repository: http(s) address, or a folder of this machine.
        root: The trusted root metadata.
        cache: Where metadata is kept; of this process alone.
        monotonic_s: Seconds that never jump.

    Raises:
        RegistryError: the root cannot be read.
    """

    def __init__(
        self,
        repository: str,
        *,
        root: Path,
        cache: Path,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._root = root.read_bytes()
            for folder in ("metadata", "targets"):
                (cache / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(f"{error.filename}: {error.strerror or error}") from error
        self._cache = cache
        self._monotonic_s = monotonic_s
        if repository.startswith(("http://", "https://")):
            self._fetcher: _Fetcher = _HttpFetcher()
            self._base = repository.rstrip("/")
        else:
            self._fetcher, self._base = _FolderFetcher(), str(Path(repository).absolute())
        self._lock = threading.Lock()
        self._read_s = -FRESH_S
        self._entries: dict[str, IndexEntry] = {}
        self._missing: frozenset[str] = frozenset()

    def close(self) -> None:
        """Give back connections."""
        self._fetcher.close()

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models, the newest first.

        Raises:
            RegistryError: the repository does not answer, or is not to be trusted.
        """
        with self._lock:
            self._read()
            newest = reversed(self._entries.values())
        return tuple(
            PublishedModel(
                digest=entry.digest,
                name=entry.name,
                version=entry.version,
                manifest=entry.manifest,
                size_bytes=entry.size_bytes,
                published_ms=entry.published_ms,
            )
            for entry in newest
        )

    def fetchable(self, digest: str) -> bool:
        """Whether a cart that asks now gets every file of it, unexpired and signed.

        Raises:
            RegistryError: the repository does not answer, or is not to be trusted.
        """
        with self._lock, _our_errors():
            updater = self._read(fresh_s=0.0)
            entry = self._entries.get(digest)
            if entry is None or updater is None:
                return False
            for name in entry.files:
                target = updater.get_targetinfo(f"models/{digest}/{name}")
                if target is None:
                    return False
                folder, _, last = target.path.rpartition("/")
                if not self._fetcher.exists(
                    f"{self._base}/targets/{folder}/{target.hashes['sha256']}.{last}"
                ):
                    return False
        return True

    def _read(self, fresh_s: float = FRESH_S) -> Updater | None:
        if self._monotonic_s() - self._read_s < fresh_s:
            return None
        with _our_errors():
            updater = Updater(
                metadata_dir=str(self._cache / "metadata"),
                metadata_base_url=f"{self._base}/metadata/",
                target_dir=str(self._cache / "targets"),
                target_base_url=f"{self._base}/targets/",
                fetcher=self._fetcher,
                bootstrap=self._root,
            )
            updater.refresh()
            index = updater.get_targetinfo(INDEX)
            if index is None:
                raise RegistryError(f"{self._base} has no {INDEX}")
            kept = updater.download_target(index, str(self._cache / "targets" / "index.json"))
            entries = decode_index(Path(kept).read_bytes()).models
        self._entries = {entry.digest: entry for entry in entries}
        self._read_s = self._monotonic_s()
        return updater


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except (DownloadError, OSError) as error:
        raise RegistryError(f"the model repository does not answer: {error}") from error
    except (RepositoryError, ValueError) as error:
        raise RegistryError(f"the model repository is not to be trusted: {error}") from error


class _Fetcher(FetcherInterface):
    """What reading needs besides fetching."""

    def exists(self, url: str) -> bool:
        """Whether a file is there."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back connections."""


class _FolderFetcher(_Fetcher):
    """Reads a repository of this machine."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            with Path(url).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError as error:
            raise DownloadHTTPError("not there", 404) from error

    def exists(self, url: str) -> bool:
        """Whether a file is there."""
        return Path(url).is_file()


class _HttpFetcher(_Fetcher):
    """Reads a repository over HTTP."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(TIMEOUT_S), retries=urllib3.Retry(2))

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            answer = self._pool.request("GET", url, preload_content=False)
            if answer.status >= 400:
                answer.release_conn()
                raise DownloadHTTPError(f"{url}: {answer.reason}", answer.status)
            yield from answer.stream(CHUNK_BYTES)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error

    def exists(self, url: str) -> bool:
        """Whether a file is there."""
        try:
            return self._pool.request("HEAD", url).status < 400
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error

    def close(self) -> None:
        """Give back connections."""
        self._pool.clear()
