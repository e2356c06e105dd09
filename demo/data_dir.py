"""The data directory: who owns it, where things lie in it, what runs now."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.errors import DataDirInUseError, SettingsError


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths of everything the demo keeps."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log file per component."""
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        """Held while a supervisor runs; contains its process id."""
        return self.root / "up.lock"

    @property
    def run(self) -> Path:
        """What runs now: addresses and process ids."""
        return self.root / "run.json"

    @property
    def world(self) -> Path:
        """Seed and shape of the world, and when its history ends."""
        return self.root / "world.json"

    @property
    def history(self) -> Path:
        """Written when all of the history is durable."""
        return self.root / "history.json"

    @property
    def truth(self) -> Path:
        """What really happened, for tests; never sent anywhere."""
        return self.root / "truth.sqlite"

    @property
    def warehouse(self) -> Path:
        """The embedded BigQuery endpoint's files."""
        return self.root / "warehouse"

    @property
    def broker(self) -> Path:
        """The broker's configuration and persistence."""
        return self.root / "broker"

    @property
    def ingest(self) -> Path:
        """What ingest keeps between starts."""
        return self.root / "ingest"

    @property
    def repository(self) -> Path:
        """The model repository that carts fetch from."""
        return self.root / "repository"

    @property
    def keys(self) -> Path:
        """Keys of the model repository; in earnest the root's are kept offline."""
        return self.root / "keys"

    @property
    def control(self) -> Path:
        """The database of rollouts, and who may do what."""
        return self.root / "control"

    @property
    def tokens(self) -> Path:
        """Who may do what through the control API."""
        return self.control / "tokens.toml"

    @property
    def owner_token(self) -> Path:
        """Token of a rollout owner, for the command line; readable by this user alone."""
        return self.control / "owner.token"

    @property
    def dashboard_token(self) -> Path:
        """Token of the dashboard; readable by this user alone."""
        return self.control / "dashboard.token"

    @property
    def rush(self) -> Path:
        """There while shoppers hurry."""
        return self.root / "rush.json"

    @property
    def carts(self) -> Path:
        """One folder per cart: its spool and settings."""
        return self.root / "carts"


def write_atomically(path: Path, value: dict[str, Any]) -> None:
    """Write JSON so that a reader, or a crash, finds the old or the new file and nothing between."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextlib.contextmanager
def locked(data_dir: DataDir) -> Iterator[None]:
    """Hold the data directory for this process; the system releases it however we end.

    Raises:
        DataDirInUseError: another process holds it.
        SettingsError: it cannot be written to.
    """
    try:
        data_dir.root.mkdir(parents=True, exist_ok=True)
        file = data_dir.lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--data-dir {data_dir.root} cannot be written to: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip()
            raise DataDirInUseError(data_dir.root, int(holder) if holder.isdigit() else None) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
