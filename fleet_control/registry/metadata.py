"""The metadata of the repository: every change is a new file, and the timestamp is written last.

    metadata/N.root.json, N.targets.json, N.snapshot.json, timestamp.json
    targets/models/index.json and targets/models/DIGEST/..., each file under the sha256 of its content

Whoever reads at any moment, or after a crash of the publisher at any moment, sees what the newest timestamp
names, and that is whole. What a crash left unnamed is taken up by the next change.
"""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.exceptions import StorageError
from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer
from tuf.repository import Repository

from fleet_control.errors import RegistryError
from fleet_control.registry.keys import ROLES, KeyFolder
from fleet_control.registry.storage import write_file

# How long signatures hold. Longer, and a stolen key or an old repository serves longer; shorter, and carts
# that fetch find nothing valid when nobody has renewed in time: they go on with what they have.
EXPIRES: Mapping[str, timedelta] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
}
_TYPES: Mapping[str, type[Any]] = {
    "root": Root,
    "targets": Targets,
    "snapshot": Snapshot,
    "timestamp": Timestamp,
}
_NUMBERED = re.compile(r"(\d+)\.(root|targets|snapshot)\.json\Z")


class MetadataFolder(Repository):
    """Signed metadata in a folder.

    Args:
        folder: `metadata` of the repository.
        keys: Private keys, as far as they are here.
        now: The time.
        expires: How long signatures of each role hold.
    """

    def __init__(
        self,
        folder: Path,
        keys: KeyFolder,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        expires: Mapping[str, timedelta] = EXPIRES,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._now = now
        self._expires = expires

    @property
    def exists(self) -> bool:
        """Whether there is a repository."""
        return bool(self._versions("root"))

    def versions(self) -> dict[str, int]:
        """Return the newest version of each role."""
        return {role: self.open(role).signed.version for role in ROLES if self._newest(role) is not None}

    def open(self, role: str) -> Metadata[Any]:
        """Return the newest metadata of a role; version 0 of nothing where there is none.

        Raises:
            RegistryError: it cannot be read.
        """
        path = self._newest(role)
        if path is None:
            made: Metadata[Any] = Metadata(_TYPES[role]())
            made.signed.version = 0
            return made
        try:
            return Metadata.from_file(str(path))
        except (StorageError, DeserializationError) as error:
            raise RegistryError(f"{path}: {error}") from error

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Sign the next version of a role's metadata and write it.

        Raises:
            RegistryError: keys are missing, or the disk refuses.
        """
        signed = md.signed
        signed.version += 1
        signed.expires = (self._now() + self._expires[role]).replace(microsecond=0)
        md.signatures.clear()
        for root in self._roots(role, signed):
            wanted = {key: root.keys[key] for key in root.roles[role].keyids}
            for signer in self._keys.signers(role, wanted):
                md.sign(signer, append=True)
        self._check_threshold(role, md)
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        write_file(self._folder / name, md.to_bytes(JSONSerializer(compact=False)))

    def _roots(self, role: str, signed: Signed) -> list[Root]:
        """Return whose keys sign: a new root is signed by the keys of the old one, too."""
        if role != "root":
            return [self.root()]
        old = [self.root()] if self.exists else []
        return [*old, signed] if isinstance(signed, Root) else old

    def _check_threshold(self, role: str, md: Metadata[Any]) -> None:
        for root in self._roots(role, md.signed):
            try:
                root.verify_delegate(role, md.signed_bytes, md.signatures)
            except (UnsignedMetadataError, RepositoryError, ValueError) as error:
                needed = root.roles[role].threshold
                keys = len(root.roles[role].keyids)
                raise RegistryError(self._too_few(role, needed, keys)) from error

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        """What a snapshot says of the targets."""
        return {"targets.json": MetaFile(self.open("targets").signed.version)}

    @property
    def snapshot_info(self) -> MetaFile:
        """What a timestamp says of the snapshot."""
        return MetaFile(self.open("snapshot").signed.version)

    def add_key(self, role: str, key: SSlibKey, *, instead_of: str | None = None) -> None:
        """Let a key sign for a role, in the place of another one."""
        with self.edit_root() as root:
            root.add_key(key, role)
            if instead_of is not None:
                root.revoke_key(instead_of, role)

    def check_keys(self, role: str) -> None:
        """Make sure that enough keys of a role are here, before anything is changed.

        Raises:
            RegistryError: they are not.
        """
        wanted = self.root().roles[role]
        here = self._keys.signers(role, {key: self.root().keys[key] for key in wanted.keyids})
        if len(here) < wanted.threshold:
            raise RegistryError(self._too_few(role, wanted.threshold, len(wanted.keyids)))

    def _too_few(self, role: str, needed: int, keys: int) -> str:
        return f"{role} needs the signatures of {needed} of its {keys} keys: {self._keys} has too few of them"

    def keys_of(self, role: str) -> list[str]:
        """Return the ids of the keys that may sign for a role."""
        return list(self.root().roles[role].keyids)

    def first_root(self, keys: Mapping[str, list[SSlibKey]], thresholds: Mapping[str, int]) -> None:
        """Write the first root."""
        with self.edit_root() as root:
            root.consistent_snapshot = True
            for role, publics in keys.items():
                for public in publics:
                    root.add_key(public, role)
                root.roles[role].threshold = thresholds.get(role, 1)

    def publish(self) -> None:
        """Let the snapshot and the timestamp name the newest targets, with fresh dates."""
        with self.edit_snapshot() as snapshot:
            snapshot.meta = deepcopy(self.targets_infos)
        with self.edit_timestamp() as timestamp:
            timestamp.snapshot_meta = self.snapshot_info

    def _newest(self, role: str) -> Path | None:
        if role == "timestamp":
            path = self._folder / "timestamp.json"
            return path if path.exists() else None
        versions = self._versions(role)
        return self._folder / f"{max(versions)}.{role}.json" if versions else None

    def _versions(self, role: str) -> list[int]:
        found = (_NUMBERED.match(path.name) for path in self._folder.glob(f"*.{role}.json"))
        return [int(match[1]) for match in found if match is not None and match[2] == role]
