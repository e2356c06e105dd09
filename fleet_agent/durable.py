"""Files and folders that are either whole or not there, whenever the power goes.

What is being written has a name that starts with `.incomplete-`; it gets its real name by a rename
after all its bytes are on the disk. What is being removed is renamed back to such a name first. So a
name without the prefix is always whole, and `sweep` may delete the rest, if only one process writes.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

INCOMPLETE = ".incomplete-"
# Large enough that hashing is not slowed by calls, small beside the memory of a cart.
BLOCK_BYTES = 1 << 20


def incomplete(path: Path) -> Path:
    """Return a new name for writing a file or folder that shall be called `path`."""
    return path.with_name(f"{INCOMPLETE}{path.name[:64]}-{secrets.token_hex(4)}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


class FolderLock:
    """Holds a folder for one process; a killed process lets go.

    Args:
        folder: Made if it is not there.

    Raises:
        OSError: another process holds it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._descriptor: int | None = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise OSError(error.errno, "another agent uses it", str(folder)) from error

    def release(self) -> None:
        """Let go; calling twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading, and nothing else: a pipe of that name would keep its reader for ever.

    Raises:
        OSError: it is not there, cannot be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; what was there before stays until it is.

    Raises:
        OSError: the disk is full or broken.
    """
    temporary = incomplete(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def copy_file(source: Path, target: Path, most_bytes: int) -> str:
    """Copy a file durably into a folder that is still incomplete.

    Returns:
        sha256 of the bytes that were written, so that nobody can change them in between.

    Raises:
        OSError: reading or writing failed, or the file is larger than allowed.
    """
    digest = hashlib.sha256()
    with open_regular(source) as reader, target.open("xb") as writer:
        left = most_bytes
        while block := reader.read(BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise OSError(None, f"more than {most_bytes} bytes", str(source))
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_folder(temporary: Path, path: Path) -> None:
    """Give a folder whose files are on the disk its real name.

    Raises:
        OSError: the name is taken, or the disk is broken.
    """
    sync_folder(temporary)
    temporary.rename(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Delete a file or folder such that it is never seen in halves; one that is not there is fine.

    Raises:
        OSError: it cannot be renamed.
    """
    dying = path if path.name.startswith(INCOMPLETE) else incomplete(path)
    try:
        if dying != path:
            path.rename(dying)
            sync_folder(path.parent)
    except FileNotFoundError:
        return
    if dying.is_dir() and not dying.is_symlink():
        shutil.rmtree(dying, ignore_errors=True)
    else:
        with suppress(OSError):
            dying.unlink()


def sweep(folder: Path) -> int:
    """Delete what killed writers left. Only the one process that writes into the folder may call it.

    Returns:
        How many files and folders that were.
    """
    leftovers = [path for path in _entries(folder) if path.name.startswith(INCOMPLETE)]
    for path in leftovers:
        remove(path)
    return len(leftovers)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
