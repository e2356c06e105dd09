"""The repository's metadata: read and verified before anything is added, signed before anything is written.

What timestamp.json leads to is what holds. A file with a higher version that nothing leads to was left by a
publisher that was killed, and is overwritten by the next.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from securesystemslib.signer import Signature
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.repository import Repository

from fleet_control.errors import RegistryError
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.settings import Role
from fleet_control.registry.storage import Storage

# As carts take it: a larger answer they refuse.
MAX_METADATA_BYTES = 16_000_000
# Of these, for signatures: a rotation signs with old and new keys, 230 bytes each. Less, and a list that was
# just small enough could stop a rotation half way.
SIGNATURES_BYTES = 100_000

S = TypeVar("S", Root, Snapshot, Targets, Timestamp)
FIRST: Mapping[str, Callable[[], Any]] = {
    "root": Root,
    "targets": Targets,
    "snapshot": Snapshot,
    "timestamp": Timestamp,
}


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class SignedMetadata(Repository):
    """The metadata of a repository, while its lock is held.

    Args:
        storage: Of the repository.
        keys: At hand.
        now: The time of day, with its zone.

    Attributes:
        roots: Whose keys sign and must be enough: the current root; while keys are rotated, the next one too.
    """

    def __init__(self, storage: Storage, keys: KeyRing, now: Callable[[], datetime] = utc_now) -> None:
        self._storage = storage
        self._keys = keys
        self._now = now
        self._settings = keys.settings()
        self._current: dict[str, bytes] = {}
        self.roots: tuple[Root, ...] = ()

    def load(self, *, any_root: bool = False) -> None:
        """Read and verify all that is there.

        Args:
            any_root: Believe what any earlier root's keys signed: only to sign it anew after keys were lost.

        Raises:
            RegistryError: something is missing or not signed as it must be.
        """
        chain = self._load_roots()
        believed = tuple(chain) if any_root else (chain[-1],)
        try:
            timestamp = self._load("timestamp", _name("timestamp", 0), Timestamp, believed)
            snapshot = self._load_meta("snapshot", Snapshot, timestamp.snapshot_meta, believed)
            self._load_meta("targets", Targets, snapshot.meta["targets.json"], believed)
        except (RepositoryError, KeyError) as error:
            raise RegistryError(
                f"the repository was changed by others than its publishers: {error}"
            ) from error

    def open(self, role: str) -> Metadata[Any]:
        """Return the current metadata of a role, or an empty first one."""
        if role in self._current:
            return Metadata.from_bytes(self._current[role])
        md: Metadata[Any] = Metadata(FIRST[role]())
        md.signed.version = 0
        return md

    def require(self, *roles: Role) -> None:
        """Check that the keys of some roles are at hand, before anything is written.

        Raises:
            RegistryError: they are not.
        """
        for root in self.roots:
            for role in roles:
                known = root.get_delegated_role(role)
                self._keys.require(role, known.keyids, known.threshold)

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Sign the next version of a role's metadata and write it.

        Raises:
            RegistryError: as `sealed`; or it cannot be written.
        """
        self.put(role, md, self.sealed(role, md))

    def sealed(self, role: str, md: Metadata[Any]) -> bytes:
        """Sign the next version of a role's metadata, and write nothing.

        Raises:
            RegistryError: there are too few keys, or carts would find it too large.
        """
        key_role: Role = role  # type: ignore[assignment]  # there are no delegations
        md.signed.version += 1
        md.signed.expires = (self._now() + self._settings.life(role)).replace(microsecond=0)
        md.signatures.clear()
        bare_bytes = len(md.to_bytes())
        if bare_bytes > MAX_METADATA_BYTES - SIGNATURES_BYTES:
            raise RegistryError(
                f"the metadata of {role} would be too large for carts, {bare_bytes} of "
                f"{MAX_METADATA_BYTES - SIGNATURES_BYTES} bytes: retire models first"
            )
        roots = (*self.roots, md.signed) if isinstance(md.signed, Root) else self.roots
        wanted = {key for root in roots for key in root.get_delegated_role(role).keyids}
        for signer in self._keys.signers(key_role, wanted).values():
            md.sign(signer, append=True)
        for root in roots:
            try:
                root.verify_delegate(role, md.signed_bytes, md.signatures)
            except UnsignedMetadataError as error:
                known = root.get_delegated_role(role)
                raise self._keys.too_few(key_role, known.keyids, known.threshold) from error
        return md.to_bytes()

    def put(self, role: str, md: Metadata[Any], content: bytes) -> None:
        """Write what was sealed."""
        self._storage.write(_name(role, md.signed.version), content)
        self._current[role] = content
        if isinstance(md.signed, Root):
            self.roots = (md.signed,)

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        """What the snapshot says of the targets metadata."""
        return {"targets.json": self._meta("targets")}

    @property
    def snapshot_info(self) -> MetaFile:
        """What the timestamp says of the snapshot."""
        return self._meta("snapshot")

    def _meta(self, role: str) -> MetaFile:
        return MetaFile.from_data(self.open(role).signed.version, self._current[role], ["sha256"])

    def _load_roots(self) -> list[Root]:
        trusted = self._keys.trusted_root()
        try:
            root = Metadata[Root].from_bytes(trusted).signed
            if self._storage.read(_name("root", root.version)) != trusted:
                raise RegistryError("this is another repository than the one that the keys belong to")
            chain = [self._load("root", _name("root", root.version), Root, (root,))]
            while self._storage.read(following := _name("root", chain[-1].version + 1)) is not None:
                root = self._load("root", following, Root, (chain[-1],))
                root.verify_delegate("root", *_signed(self._current["root"]))
                if root.version != chain[-1].version + 1:
                    raise RegistryError(f"{following} holds version {root.version}")
                chain.append(root)
        except RepositoryError as error:
            raise RegistryError(f"a root of the repository is not signed as it must be: {error}") from error
        self.roots = (chain[-1],)
        return chain

    def _load_meta(self, role: str, kind: type[S], meta: MetaFile, roots: tuple[Root, ...]) -> S:
        name = _name(role, meta.version)
        signed = self._load(role, name, kind, roots)
        if signed.version != meta.version:
            raise RegistryError(f"{name} holds version {signed.version}")
        try:
            meta.verify_length_and_hashes(self._current[role])
        except LengthOrHashMismatchError as error:
            raise RegistryError(f"{name} is not what was signed: {error}") from error
        return signed

    def _load(self, role: str, name: str, kind: type[S], roots: tuple[Root, ...]) -> S:
        """Read a file that at least one of some roots must have signed keys for."""
        content = self._storage.read(name)
        if content is None:
            raise RegistryError(f"there is no {name}: was `cartwright models init` interrupted?")
        md: Metadata[S] = Metadata.from_bytes(content)
        if not isinstance(md.signed, kind):
            raise RegistryError(f"{name} is no metadata of {role}")
        for at, root in enumerate(roots, start=1):
            try:
                root.verify_delegate(role, md.signed_bytes, md.signatures)
                break
            except UnsignedMetadataError:
                if at == len(roots):
                    raise
        self._current[role] = content
        return md.signed


def _signed(content: bytes) -> tuple[bytes, dict[str, Signature]]:
    md: Metadata[Root] = Metadata.from_bytes(content)
    return md.signed_bytes, md.signatures


def _name(role: str, version: int) -> str:
    return "metadata/timestamp.json" if role == "timestamp" else f"metadata/{version}.{role}.json"
