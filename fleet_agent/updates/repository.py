"""The model repository as a cart sees it: a TUF client (python-tuf) that checks everything it takes.

What is trusted begins with a root that came to the cart by another way. Metadata that expired, is older than
what was seen before, does not fit together or is not signed by enough of the right keys is refused, and
nothing of it is kept. Of a model only the files that its manifest lists are taken, and its manifest must be
the one that was asked for. A clock that is set back cannot bring expired metadata back to life: the newest
time at which metadata was accepted is kept, and the cart's clock counts from there at least.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater, UpdaterConfig

from fleet_agent.activation.signing import MANIFEST_NAME, SIGNATURE_NAME
from fleet_agent.activation.store import MAX_ARTIFACT_BYTES, MAX_FILES
from fleet_agent.config import UpdatesConfig
from fleet_agent.durable import FolderLock, file_sha256, make_folder, write_file
from fleet_agent.errors import (
    AgentError,
    FetchStoppedError,
    ManifestError,
    RepositoryRefusedError,
    RepositoryUnreachableError,
    UpdateError,
)
from fleet_agent.manifest import MAX_MANIFEST_BYTES, parse_manifest
from fleet_agent.ports import Clock, SystemClock
from fleet_agent.updates.fetching import ThinLine

KBIT_BYTES = 125.0
MAX_ROOT_BYTES = 512_000
# A repository with more is none of ours: 5 MB of targets are some thousand models.
LIMITS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=4,
    root_max_length=MAX_ROOT_BYTES,
    timestamp_max_length=16_384,
    snapshot_max_length=200_000,
    targets_max_length=5_000_000,
)


def open_repository(config: UpdatesConfig, folder: Path) -> "TufRepository":
    """Open the way to the repository of a cart's settings.

    Raises:
        UpdateError: the address or the root cannot be used.
    """
    return TufRepository(
        config.repository,
        root=Path(config.root),
        # Beside the updater's own folder, which it tidies.
        folder=folder.with_name("repository"),
        bandwidth_kbit_s=config.bandwidth_kbit_s or None,
        clock=SystemClock(),
    )


class TufRepository:
    """Implements `ModelRepository`; one thread at a time, one process per folder.

    Args:
        address: Of the repository, http(s).
        root: The trusted root metadata.
        folder: What is kept: metadata, parts of files, the newest time.
        bandwidth_kbit_s: Most that may be taken; None: no limit.
        clock: Time.

    Raises:
        UpdateError: the address is none, the root cannot be read, or another process uses the folder.
    """

    def __init__(
        self, address: str, *, root: Path, folder: Path, bandwidth_kbit_s: float | None, clock: Clock
    ) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise UpdateError(f"{address!r} is no address of the kind https://...")
        self._base = address.rstrip("/")
        self._folder = folder
        self._clock = clock
        try:
            with root.open("rb") as file:
                self._root = file.read(MAX_ROOT_BYTES)
            for part in ("metadata", "targets"):
                make_folder(folder / part)
            self._lock = FolderLock(folder)
        except OSError as error:
            raise UpdateError(f"{error.filename or folder}: {error.strerror or error}") from error
        bytes_per_s = bandwidth_kbit_s * KBIT_BYTES if bandwidth_kbit_s else None
        self._line = ThinLine(folder / "parts", clock, bytes_per_s)
        self._floor = folder / "newest"

    def close(self) -> None:
        """Give back connections and the folder; calling twice is harmless."""
        self._line.close()
        self._lock.release()

    def fetch(
        self,
        digest: str,
        manifest: str,
        into: Path,
        *,
        on_progress: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> Path:
        """Download a model's folder; see `ModelRepository`."""
        self._line.stop = stop
        with _our_errors():
            updater = self._updater()
            wanted = [self._target(updater, digest, MANIFEST_NAME)]
            if wanted[0].hashes.get("sha256") != manifest:
                raise RepositoryRefusedError(f"{digest} has another manifest than the one asked for")
            self._take(updater, wanted[0], into / MANIFEST_NAME, MAX_MANIFEST_BYTES)
            names = _files(into / MANIFEST_NAME)
            wanted = [self._target(updater, digest, name) for name in names]
            signature = updater.get_targetinfo(f"models/{digest}/{SIGNATURE_NAME}")
            if signature is not None:
                names, wanted = [SIGNATURE_NAME, *names], [signature, *wanted]
            self._take_all(updater, names, wanted, into, on_progress)
        self._line.forget_all()
        return into

    def _take_all(
        self,
        updater: Updater,
        names: list[str],
        wanted: list[TargetFile],
        into: Path,
        on_progress: Callable[[int, int], None],
    ) -> None:
        of_bytes = sum(target.length for target in wanted)
        done = 0

        def count(came: int) -> None:
            nonlocal done
            done += came
            on_progress(min(done, of_bytes), of_bytes)

        for name, target in zip(names, wanted, strict=True):
            before = done
            self._line.on_bytes = count
            self._take(updater, target, into / name, MAX_ARTIFACT_BYTES)
            # A file that was there, or came in part before, counts whole.
            done = before + target.length
            on_progress(done, of_bytes)

    def _updater(self) -> Updater:
        """Return a client with fresh metadata.

        Raises:
            ExpiredMetadataError: the cart's clock was set back, and this metadata expired before.
        """
        updater = Updater(
            metadata_dir=str(self._folder / "metadata"),
            metadata_base_url=f"{self._base}/metadata/",
            target_dir=str(self._folder / "targets"),
            target_base_url=f"{self._base}/targets/",
            fetcher=self._line,
            config=LIMITS,
            bootstrap=self._root,
        )
        # A test of ours, or a clock without a battery, is before the newest time that was seen.
        newest = max(self._now(), self._newest())
        self._line.most_bytes = LIMITS.targets_max_length
        updater.refresh()
        self._refuse_expired(updater, newest)
        write_file(self._floor, newest.isoformat().encode())
        return updater

    def _refuse_expired(self, updater: Updater, newest: dt.datetime) -> None:
        trusted = updater._trusted_set  # noqa: SLF001  # the dates are nowhere else
        for metadata in (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets):
            if metadata.is_expired(newest):
                raise ExpiredMetadataError(f"{metadata.type} expired on {metadata.expires:%Y-%m-%d %H:%M}")

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock.epoch_ms() / 1000, dt.UTC)

    def _newest(self) -> dt.datetime:
        try:
            return dt.datetime.fromisoformat(self._floor.read_text())
        except (OSError, ValueError):
            return dt.datetime.min.replace(tzinfo=dt.UTC)

    def _target(self, updater: Updater, digest: str, name: str) -> TargetFile:
        target = updater.get_targetinfo(f"models/{digest}/{name}")
        if target is None:
            raise RepositoryRefusedError(f"the repository has no {name} of {digest}")
        return target

    def _take(self, updater: Updater, target: TargetFile, path: Path, most_bytes: int) -> None:
        if target.length > most_bytes:
            raise RepositoryRefusedError(
                f"{target.path} has {target.length} bytes; {most_bytes} are the most"
            )
        if path.is_file() and file_sha256(path) == target.hashes.get("sha256"):
            return
        make_folder(path.parent)
        self._line.most_bytes = target.length
        try:
            updater.download_target(target, str(path))
        except (DownloadLengthMismatchError, RepositoryError, ValueError):
            # A part of a wrong file must not spoil the right one for ever.
            self._line.forget_all()
            raise


def _files(manifest: Path) -> list[str]:
    """Return the names of the files that a manifest lists; its schema keeps names inside the folder."""
    try:
        listed = parse_manifest(manifest.read_bytes(), str(manifest))
    except (ManifestError, OSError) as error:
        raise RepositoryRefusedError(f"the manifest of the repository: {error}") from error
    names = {artifact.file for artifact in listed.artifacts.values()}
    names |= {f"golden/{frame.file}" for frame in listed.golden}
    if len(names) > MAX_FILES:
        raise RepositoryRefusedError(f"the manifest lists {len(names)} files; {MAX_FILES} are the most")
    return sorted(names)


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except AgentError:
        raise
    except DownloadLengthMismatchError as error:
        raise RepositoryRefusedError(f"endless: {error}") from error
    except DownloadHTTPError as error:
        raise RepositoryUnreachableError(f"the repository answers {error}") from error
    except DownloadError as error:
        if isinstance(error.__cause__, FetchStoppedError):
            raise error.__cause__ from error
        raise RepositoryUnreachableError(f"the repository does not answer: {error}") from error
    except (RepositoryError, ValueError) as error:
        raise RepositoryRefusedError(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise RepositoryUnreachableError(f"{error.filename}: {error.strerror or error}") from error
