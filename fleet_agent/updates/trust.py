"""What a cart believes of the repository, and what it never forgets of it.

    metadata/           the newest metadata that was verified (python-tuf's cache; root_history/ below)
    floor.json          versions and time that may not be undercut

The cache may be lost or damaged, by a power cut say: then the cart begins again from the root that it was
brought. That alone would let an attacker replay old metadata to a cart whose cache he can spoil; so the
versions are kept in a second file, which is written whole or not at all, and older ones are refused whatever
the cache says. A cart that lost both is a new cart.

Expiry is judged by the cart's clock, which may be wrong. The time of the last success is kept, and an earlier
clock is not believed: so turning it back does not make old metadata fresh. Only a success moves that time,
and what was verified then had not expired: so a clock that is years ahead refuses everything until it is set
right, and has done no lasting harm. A clock that was always behind cannot tell frozen metadata from fresh;
versions still never fall.

When the root names other keys for timestamp, snapshot or targets, versions begin anew if they must: who stole
the old keys may have signed a version so high that no honest one follows.
"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from tuf.api.exceptions import BadVersionNumberError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater

from fleet_agent import durable
from fleet_agent.ports import Clock

ROLES = ("root", "timestamp", "snapshot", "targets")
# The last second of the year 9999: Python knows no later one.
LAST_MS = 253_402_300_799_000


class Floor(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may not be undercut.

    Attributes:
        time_ms: When the repository was last believed.
        versions: Of each role then.
        keys: Ids of the keys of timestamp, snapshot and targets then.
    """

    time_ms: int = 0
    versions: dict[str, int] = {}
    keys: tuple[str, ...] = ()


class TrustedMetadata:
    """The signed lists of a repository. One thread uses it, and one process its folder.

    Args:
        url: Address of the repository, without `/` at its end.
        root: The root that is trusted from the start.
        folder: For the cache and the floor.
        fetcher: Way to the repository.
        clock: The cart's.
    """

    def __init__(self, url: str, root: bytes, folder: Path, fetcher: FetcherInterface, clock: Clock) -> None:
        self._url = url
        self._root = root
        self._cache = folder / "metadata"
        self._floor = folder / "floor.json"
        self._fetcher = fetcher
        self._clock = clock

    def refresh(self) -> Updater:
        """Fetch and verify what is new.

        Returns:
            TUF's client, which knows every target.

        Raises:
            RepositoryError: it is not signed as it must be, is older than what was seen, or has expired.
            DownloadError: it cannot be fetched.
            OSError: the disk is full or broken.
        """
        durable.make_folder(self._cache)
        for left in self._cache.glob("tmp*"):  # of a process that was killed
            left.unlink(missing_ok=True)
        floor = self._read_floor()
        try:
            return self._refresh(floor)
        except RepositoryError:
            if not floor.keys or self._keys() in {(), floor.keys}:
                raise
        for role in ROLES[1:]:
            (self._cache / f"{role}.json").unlink(missing_ok=True)
        return self._refresh(Floor(versions={"root": floor.versions.get("root", 0)}))

    def _refresh(self, floor: Floor) -> Updater:
        updater = Updater(
            str(self._cache), f"{self._url}/metadata/", fetcher=self._fetcher, bootstrap=self._root
        )
        now_ms = min(max(self._clock.epoch_ms(), floor.time_ms), LAST_MS)
        # The library takes the machine's clock and offers no other way to give it one.
        updater._trusted_set.reference_time = datetime.fromtimestamp(now_ms / 1000, UTC)  # noqa: SLF001
        updater.refresh()
        versions = {role: self._cached(role).version for role in ROLES}
        for role, version in versions.items():
            if version < floor.versions.get(role, 0):
                raise BadVersionNumberError(
                    f"{role} has version {version}; version {floor.versions[role]} was seen before"
                )
        self._write_floor(Floor(time_ms=now_ms, versions=versions, keys=self._keys()))
        return updater

    def _cached(self, role: str) -> Any:
        """Return what the library has verified and kept."""
        md: Metadata[Any] = Metadata.from_file(str(self._cache / f"{role}.json"))
        return md.signed

    def _keys(self) -> tuple[str, ...]:
        """Return the keys that the newest root names; empty: there is none."""
        with suppress(OSError, RepositoryError):
            root = self._cached("root")
            return tuple(sorted({f"{role}:{k}" for role in ROLES[1:] for k in root.roles[role].keyids}))
        return ()

    def _read_floor(self) -> Floor:
        try:
            return msgspec.json.decode(self._floor.read_bytes(), type=Floor)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return Floor()

    def _write_floor(self, floor: Floor) -> None:
        durable.write_file(self._floor, msgspec.json.encode(floor))
