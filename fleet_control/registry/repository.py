"""Publishing models: what `cartwright models` does."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace
from tuf.api.metadata import TargetFile

from fleet_control.errors import RegistryError
from fleet_control.registry.keys import ROLES, KeyFolder
from fleet_control.registry.metadata import EXPIRES, MetadataFolder
from fleet_control.registry.models import Index, IndexEntry, checked_model, decode_index, encode_index
from fleet_control.registry.storage import copy_file, locked, write_file

INDEX = "models/index.json"
PINS = "pins.json"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many keys each offline role has, and how many of them must sign.

    Attributes:
        root_keys: Of the root.
        root: Of them, that must sign.
        targets_keys: Of the targets.
        targets: Of them, that must sign.
    """

    root_keys: int = 1
    root: int = 1
    targets_keys: int = 1
    targets: int = 1


class ModelRepository:
    """A repository in a folder; every method that changes something holds its lock.

    Args:
        folder: Of the repository: serve it over HTTP, or copy it to a bucket.
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
        self._metadata = MetadataFolder(folder / "metadata", keys, now=now, expires=expires)

    @property
    def exists(self) -> bool:
        """Whether it has been made."""
        return self._metadata.exists

    @property
    def root(self) -> Path:
        """The first root: what carts and controllers are given to trust."""
        return self._folder / "metadata" / "1.root.json"

    def make(self, thresholds: Thresholds | None = None) -> None:
        """Make keys and the first metadata.

        Raises:
            RegistryError: there is a repository already, or the disk refuses.
        """
        wanted = thresholds or Thresholds()
        with locked(self._folder):
            if self.exists:
                raise RegistryError(f"{self._folder} holds a repository already")
            numbers = {"root": wanted.root_keys, "targets": wanted.targets_keys}
            keys = {role: [self._keys.make(role) for _ in range(numbers.get(role, 1))] for role in ROLES}
            self._metadata.first_root(keys, {"root": wanted.root, "targets": wanted.targets})
            self._write_index(Index([]), {})

    def index(self) -> Index:
        """Return what is published.

        Raises:
            RegistryError: there is no repository, or it cannot be read.
        """
        if not self.exists:
            raise RegistryError(f"{self._folder} holds no repository: see `cartwright models init`")
        target = self._metadata.targets().targets.get(INDEX)
        if target is None:
            return Index([])
        try:
            return decode_index(self._stored(target).read_bytes())
        except OSError as error:
            raise RegistryError(f"{INDEX}: {error.strerror or error}") from error

    def publish(self, model: Path) -> IndexEntry:
        """Sign and publish a model's folder; the same model again is signed anew.

        Raises:
            RegistryError: the model is not whole, keys are missing, or the disk refuses.
        """
        entry = checked_model(model, int(self._now().timestamp() * 1000))
        with locked(self._folder):
            index = self.index()
            for one in index.models:
                if one.digest == entry.digest and one.manifest != entry.manifest:
                    why = "carts may have to go back to it, so it stays as it is: retire it first"
                    raise RegistryError(
                        f"{entry.digest} is published with another manifest ({one.version}); {why}"
                    )
            others = [one for one in index.models if one.digest != entry.digest]
            targets = {
                path: TargetFile.from_file(path, str(model / name), ["sha256"])
                for name in entry.files
                for path in [f"models/{entry.digest}/{name}"]
            }
            for name in entry.files:
                copy_file(model / name, self._stored(targets[f"models/{entry.digest}/{name}"]))
            self._write_index(Index([*others, entry]), targets)
        return entry

    def republish(self, digest: str) -> IndexEntry:
        """Sign a published model anew: a rollback is new metadata that names the old files.

        Raises:
            RegistryError: it is not published, or keys are missing.
        """
        with locked(self._folder):
            index = self.index()
            entry = replace(self._find(index, digest), published_ms=int(self._now().timestamp() * 1000))
            others = [one for one in index.models if one.digest != digest]
            self._write_index(Index([*others, entry]), {})
        return entry

    def retire(self, digest: str) -> None:
        """Take a model out of the metadata, and its files off the disk.

        Raises:
            RegistryError: it is pinned: carts may need it; or it is not published.
        """
        with locked(self._folder):
            index = self.index()
            entry = self._find(index, digest)
            if by := self.pins().get(digest):
                raise RegistryError(f"{digest} is pinned by {', '.join(by)}: carts may have to go back to it")
            old = {name: self._metadata.targets().targets[f"models/{digest}/{name}"] for name in entry.files}
            others = [one for one in index.models if one.digest != digest]
            self._write_index(Index(others), {}, gone=[f"models/{digest}/{name}" for name in entry.files])
            for target in old.values():
                self._stored(target).unlink(missing_ok=True)

    def refresh(self) -> None:
        """Renew the dates of snapshot and timestamp; needs their keys only.

        Raises:
            RegistryError: keys are missing, or the disk refuses.
        """
        with locked(self._folder):
            self.index()
            self._metadata.publish()

    def rotate(self, role: str) -> str:
        """Replace the oldest key of a role by a new one, signed by the root; returns the new key's id.

        Raises:
            RegistryError: the root's keys are missing, or the disk refuses.
        """
        with locked(self._folder):
            self.index()
            self._metadata.check_keys("root")
            new, old = self._keys.make(role), self._metadata.keys_of(role)[0]
            self._metadata.add_key(role, new, instead_of=old)
            if role == "targets":
                with self._metadata.edit_targets():
                    pass
            self._metadata.publish()
        return new.keyid

    def pins(self) -> dict[str, list[str]]:
        """Return by whom models are pinned.

        Raises:
            RegistryError: the file of pins cannot be read.
        """
        path = self._folder / PINS
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise RegistryError(f"{path}: {error}") from error

    def pin(self, digests: Iterable[str], by: str) -> None:
        """Keep models for somebody, and no others for the same somebody; none lets go of all.

        Raises:
            RegistryError: the file of pins cannot be written.
        """
        kept = {digest: [name for name in names if name != by] for digest, names in self.pins().items()}
        for digest in digests:
            kept.setdefault(digest, []).append(by)
        wanted = {digest: sorted(names) for digest, names in kept.items() if names}
        write_file(self._folder / PINS, msgspec.json.encode(wanted))

    def _find(self, index: Index, digest: str) -> IndexEntry:
        for entry in index.models:
            if entry.digest == digest:
                return entry
        known = ", ".join(entry.digest for entry in index.models) or "none"
        raise RegistryError(f"{digest} is not published; there are: {known}")

    def _write_index(self, index: Index, targets: Mapping[str, TargetFile], gone: Iterable[str] = ()) -> None:
        """Write files, then targets, then the snapshot, then the timestamp."""
        document = encode_index(index)
        listed = TargetFile.from_data(INDEX, document, ["sha256"])
        write_file(self._stored(listed), document)
        with self._metadata.edit_targets() as signed:
            for path in gone:
                signed.targets.pop(path, None)
            signed.targets.update({**targets, INDEX: listed})
        self._metadata.publish()

    def _stored(self, target: TargetFile) -> Path:
        folder, _, name = target.path.rpartition("/")
        return self._folder / "targets" / folder / f"{target.hashes['sha256']}.{name}"
