"""Files of the repository: whole or not there, and one publisher at a time."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fleet_control.errors import RegistryError


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old or the new one and nothing between.

    Raises:
        RegistryError: the disk refuses.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error


def copy_file(source: Path, path: Path) -> None:
    """Copy a file likewise; one of its name has its content, for the name is the content's digest.

    Raises:
        RegistryError: the disk refuses.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, draft.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a repository for this process; the system lets go of it however we end.

    Raises:
        RegistryError: another process publishes, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise RegistryError(f"{folder}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RegistryError(f"{folder}: another process changes this repository") from error
        yield
