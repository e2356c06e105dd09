"""Small files that are read whole, and no larger ones."""

from pathlib import Path

from fleet_control.errors import RegistryError


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return a file's content.

    Raises:
        RegistryError: it cannot be read, or has more bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error
    if len(content) > most_bytes:
        raise RegistryError(f"{path} has more than {most_bytes} bytes")
    return content
