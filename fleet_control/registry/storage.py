"""Where the repository's files are kept."""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from fleet_control.errors import RegistryError

# Fast enough that copying is bound by the disk, small beside any memory.
BLOCK_BYTES = 1 << 20
# Between two tries for a lock. Longer delays who waits; shorter wakes the processor for nothing.
LOCK_RETRY_S = 0.05
INCOMING = "incoming"


class Storage(Protocol):
    """Files by name, with `/` between folders; each is whole or not there. Raises only `RegistryError`."""

    def read(self, name: str) -> bytes | None:
        """Return a file, or None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Put a file in place, durably, instead of one of that name."""

    def copy_in(self, source: Path, name: str, sha256: str) -> None:
        """Put a copy of a local file in place, durably.

        Raises:
            RegistryError: what was copied has another sha256; nothing is put in place.
        """

    def sha256(self, name: str) -> str | None:
        """Return the sha256 of a file, or None if there is none."""

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of all files in a folder and those below it."""

    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is fine."""

    def lock(self, name: str, timeout_s: float) -> AbstractContextManager[None]:
        """Hold a lock that one process has at a time; a killed process lets go.

        Raises:
            RegistryError: somebody else held it all the time.
        """


class FolderStorage:
    """A local folder.

    Args:
        folder: Made when the first file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(error, self._path(name)) from error

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._incoming(name) as incoming:
            _write(incoming, [content])

    def copy_in(self, source: Path, name: str, sha256: str) -> None:
        """See `Storage`."""
        with self._incoming(name) as incoming:
            digest = hashlib.sha256()
            _write(incoming, _blocks(source, digest))
            if digest.hexdigest() != sha256:
                raise RegistryError(f"{source} was changed while it was published")

    def sha256(self, name: str) -> str | None:
        """See `Storage`."""
        try:
            with self._path(name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(error, self._path(name)) from error

    def names(self, folder: str) -> tuple[str, ...]:
        """See `Storage`."""
        found = (path for path in self._path(folder).rglob("*") if path.is_file())
        return tuple(sorted(path.relative_to(self.folder).as_posix() for path in found))

    def remove(self, name: str) -> None:
        """See `Storage`; folders that become empty go too."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(error, path) from error
        for parent in path.relative_to(self.folder).parents[:-2]:
            with suppress(OSError):
                (self.folder / parent).rmdir()

    @contextmanager
    def lock(self, name: str, timeout_s: float) -> Iterator[None]:
        """See `Storage`."""
        path = self.folder / f"lock.{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _failed(error, path) from error
        try:
            _wait_for_lock(descriptor, path, timeout_s)
            if name == "publish":
                self._sweep()
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        if not name or any(part in {"", ".", ".."} for part in name.split("/")):
            raise RegistryError(f"{name!r} is no name for a file of a repository")
        return self.folder / name

    @contextmanager
    def _incoming(self, name: str) -> Iterator[Path]:
        """Give a path to write to; then move what was written to its name."""
        path = self._path(name)
        incoming = self.folder / INCOMING / secrets.token_hex(8)
        try:
            incoming.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            yield incoming
            incoming.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise _failed(error, path) from error
        finally:
            with suppress(OSError):
                incoming.unlink()

    def _sweep(self) -> None:
        """Delete what a killed publisher was writing; pins, written without this lock, are seconds old."""
        oldest_s = time.time() - 3600
        for path in (self.folder / INCOMING).glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < oldest_s:
                    path.unlink()


def existing_repository(folder: Path) -> FolderStorage:
    """Return the storage of a repository that was begun; a folder whose name was mistyped is not made.

    Raises:
        RegistryError: there is none.
    """
    try:
        begun = (folder / "metadata").is_dir()
    except OSError as error:
        raise _failed(error, folder) from error
    if not begun:
        raise RegistryError(f"{folder} is no model repository: it has no metadata/")
    return FolderStorage(folder)


def _write(path: Path, blocks: Iterator[bytes] | list[bytes]) -> None:
    with path.open("xb") as file:
        for block in blocks:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)  # a web server of another user reads it


def _blocks(source: Path, digest: "hashlib._Hash") -> Iterator[bytes]:
    with source.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            yield block


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise RegistryError(f"{path}: another process has held it for {timeout_s:g} s") from None
            time.sleep(LOCK_RETRY_S)
        else:
            return


def _failed(error: OSError, path: Path) -> RegistryError:
    return RegistryError(f"{error.filename or path}: {error.strerror or error}")
