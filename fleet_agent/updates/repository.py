"""The cart's way to its models: the TUF repository that `cartwright models publish` fills.

Nothing is believed that is not signed: the metadata by the repository's keys, each file by its size and
sha256 in the metadata, and the manifest by the sha256 that the cloud asked for. A model whose folder is
complete has its `manifest.json`; until then that file has another name.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater

from fleet_agent import durable
from fleet_agent.activation.golden import FOLDER
from fleet_agent.activation.signing import MANIFEST_NAME, MAX_SIGNATURE_BYTES, SIGNATURE_NAME
from fleet_agent.activation.store import MAX_FILES
from fleet_agent.config import UpdatesConfig
from fleet_agent.errors import ManifestError, RepositoryRefusedError, RepositoryUnreachableError
from fleet_agent.manifest import MAX_MANIFEST_BYTES, ModelManifest, parse_manifest
from fleet_agent.ports import Clock, SystemClock
from fleet_agent.updates.fetching import HttpFetcher
from fleet_agent.updates.trust import TrustedMetadata

# Three precisions of a large detector are below 1 GB. Lower refuses models; higher lets a stolen key fill
# disks.
MAX_MODEL_BYTES = 4_000_000_000
MAX_ROOT_BYTES = 512_000
_DIGEST, _SHA256 = re.compile("[0-9a-f]{16}"), re.compile("[0-9a-f]{64}")


@dataclass(slots=True)
class _Download:
    """One model on its way.

    Attributes:
        digest: Of it.
        into: Its folder.
        on_progress: Told bytes done and bytes in all.
        done_bytes: Of the files that are complete.
        of_bytes: Of all files; of the manifest alone until that is read.
    """

    digest: str
    into: Path
    on_progress: Callable[[int, int], None]
    done_bytes: int = 0
    of_bytes: int = 0

    def on_bytes(self, of_file: int) -> None:
        """Tell how much there is."""
        self.on_progress(self.done_bytes + of_file, self.of_bytes)


def open_repository(config: UpdatesConfig, folder: Path) -> "TufRepository":
    """Open the way to the repository that a cart's settings name.

    Args:
        config: Where it is, and what is trusted.
        folder: Of the updater, which tidies it: what must be remembered lies beside it.

    Raises:
        RepositoryRefusedError: the address or the file of the root is none.
    """
    return TufRepository(
        config.repository,
        root=Path(config.root),
        folder=folder.with_name("repository"),
        bandwidth_kbit_s=config.bandwidth_kbit_s or None,
        clock=SystemClock(),
    )


class TufRepository:
    """A `ModelRepository` behind any HTTP server. One thread uses it.

    Args:
        url: Address of the repository, `https://...`; what it serves is signed, so `http` is as safe and
            tells more to others.
        root: File of the root that is trusted from the start, brought to the cart by a way of its own.
        folder: For what must be remembered; this process holds it.
        bandwidth_kbit_s: Most kilobits per second; None or 0: no limit.
        clock: The cart's.
        timeout_s: Longest wait for a connection, for all headers of an answer, and for its next bytes.
        user: Who asks, for the server's log, such as store and cart.

    Raises:
        RepositoryRefusedError: the address or the file of the root is none.
        RepositoryUnreachableError: the folder cannot be used, or another process does.
    """

    def __init__(
        self,
        url: str,
        root: Path,
        folder: Path,
        *,
        bandwidth_kbit_s: float | None,
        clock: Clock,
        timeout_s: float = 20.0,
        user: str = "",
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or "@" in url:
            raise RepositoryRefusedError(
                "the repository's address must be https://host/path, without a password"
            )
        self._url = url.rstrip("/")
        trusted = _read_root(root)
        try:
            self._lock = durable.FolderLock(folder)
        except OSError as error:
            raise RepositoryUnreachableError(f"{folder}: {error.strerror or error}") from error
        self._fetcher = HttpFetcher(
            clock=clock, timeout_s=timeout_s, bandwidth_kbit_s=bandwidth_kbit_s, user=user
        )
        self._metadata = TrustedMetadata(self._url, trusted, folder, self._fetcher, clock)

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
            stop: Asked between pieces; True ends the call.

        Raises:
            RepositoryUnreachableError: it does not answer or breaks off, or the disk takes no more.
            RepositoryRefusedError: what it serves is not signed, old, too large or not what was asked for.
            FetchStoppedError: `stop` said so; what was downloaded stays.
        """
        if not (_DIGEST.fullmatch(digest) and _SHA256.fullmatch(manifest)):
            raise RepositoryRefusedError(f"{digest[:64]!r}, {manifest[:64]!r} name no model")
        self._fetcher.stop = stop
        with _errors():
            updater = self._metadata.refresh()
            self._bring_model(updater, _Download(digest, into, on_progress), manifest)
        return into

    def close(self) -> None:
        """Give back connections and the folder; calling twice is harmless."""
        self._fetcher.close()
        self._lock.release()

    def _bring_model(self, updater: Updater, download: _Download, sha256: str) -> None:
        durable.make_folder(download.into)
        document = _target(updater, download.digest, MANIFEST_NAME, sha256, MAX_MANIFEST_BYTES)
        download.of_bytes = document.length
        done, waiting = download.into / MANIFEST_NAME, download.into / f"{durable.INCOMPLETE}{MANIFEST_NAME}"
        if _is(done, document):  # it was complete once; until all is checked, it is not
            done.replace(waiting)
        self._bring(download, document, waiting)
        manifest = parse_manifest(waiting.read_bytes())
        targets = _listed(updater, download.digest, manifest)
        download.of_bytes += sum(target.length for target in targets.values())
        if download.of_bytes > MAX_MODEL_BYTES:
            raise RepositoryRefusedError(f"{download.of_bytes} bytes are more than a model may have")
        durable.make_folder(download.into / FOLDER)
        for name, target in targets.items():
            self._bring(download, target, download.into / name)
        durable.sync_folder(download.into / FOLDER)
        durable.sync_folder(download.into)
        waiting.replace(done)
        durable.sync_folder(download.into)

    def _bring(self, download: _Download, target: TargetFile, path: Path) -> None:
        """Download a file unless it is there; it gets its name when it is verified."""
        if not _is(path, target):
            part = download.into / f"{durable.INCOMPLETE}{target.hashes['sha256']}"
            resumed = part.exists()
            self._complete(download, target, part)
            if resumed and not _is(part, target):
                # The power may have gone while it was written. Once more, all of it.
                part.unlink()
                self._complete(download, target, part)
            if not _is(part, target):
                part.unlink()
                raise RepositoryRefusedError(f"{target.path} is not what was signed")
            part.replace(path)
        download.done_bytes += target.length
        download.on_bytes(0)

    def _complete(self, download: _Download, target: TargetFile, part: Path) -> None:
        if part.exists() and part.stat().st_size >= target.length:
            return
        folder, _, name = target.path.rpartition("/")
        url = f"{self._url}/targets/{folder}/{target.hashes['sha256']}.{name}"
        self._fetcher.download(url, part, target.length, download.on_bytes)


def _listed(updater: Updater, digest: str, manifest: ModelManifest) -> dict[str, TargetFile]:
    """Return the target of each file that a manifest lists, and of its signature if there is one."""
    files = {f"{FOLDER}/{frame.file}": frame.sha256 for frame in manifest.golden}
    files |= {artifact.file: artifact.sha256 for artifact in manifest.artifacts.values()}
    if len(files) > MAX_FILES or manifest.digest != digest:
        raise RepositoryRefusedError(f"the manifest is that of {manifest.digest}, or lists too many files")
    targets = {
        name: _target(updater, digest, name, sha256, MAX_MODEL_BYTES) for name, sha256 in files.items()
    }
    signature = updater.get_targetinfo(f"models/{digest}/{SIGNATURE_NAME}")
    if signature is not None:
        sha256 = signature.hashes.get("sha256", "")
        targets[SIGNATURE_NAME] = _target(updater, digest, SIGNATURE_NAME, sha256, MAX_SIGNATURE_BYTES)
    return targets


def _target(updater: Updater, digest: str, name: str, sha256: str, most_bytes: int) -> TargetFile:
    target = updater.get_targetinfo(f"models/{digest}/{name}")
    if target is None:
        raise RepositoryRefusedError(f"the repository has no {name} of model {digest}")
    if not _SHA256.fullmatch(sha256) or target.hashes.get("sha256") != sha256:
        raise RepositoryRefusedError(f"{target.path} in the repository is another than was asked for")
    if target.length > most_bytes:
        raise RepositoryRefusedError(f"{target.path}: {target.length} bytes are more than {most_bytes}")
    return target


def _is(path: Path, target: TargetFile) -> bool:
    try:
        with durable.open_regular(path) as file:
            target.verify_length_and_hashes(file)
    except (FileNotFoundError, LengthOrHashMismatchError):
        return False
    return True


def _read_root(path: Path) -> bytes:
    try:
        with durable.open_regular(path) as file:
            content = file.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        raise RepositoryRefusedError(f"the trusted root {path}: {error.strerror or error}") from error
    if len(content) > MAX_ROOT_BYTES:
        raise RepositoryRefusedError(f"the trusted root {path} has more than {MAX_ROOT_BYTES} bytes")
    return content


@contextmanager
def _errors() -> Iterator[None]:
    """Let only our own errors out."""
    try:
        yield
    except DownloadLengthMismatchError as error:
        raise RepositoryRefusedError(
            f"the repository sends another length than was signed: {error}"
        ) from error
    except DownloadError as error:
        raise RepositoryUnreachableError(f"the repository does not answer: {error}") from error
    except (RepositoryError, ManifestError) as error:
        raise RepositoryRefusedError(f"the repository is not believed: {error}") from error
    except OSError as error:
        raise RepositoryUnreachableError(f"{error.filename or 'disk'}: {error.strerror or error}") from error
