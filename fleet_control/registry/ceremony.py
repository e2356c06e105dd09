"""What needs the offline keys: the beginning of a repository, and new keys instead of old ones."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from fleet_control.errors import RegistryError
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.publisher import LOCK, LOCK_TIMEOUT_S
from fleet_control.registry.settings import RegistrySettings, Role
from fleet_control.registry.signed import SignedMetadata, utc_now
from fleet_control.registry.storage import Storage

# Nobody brings as many together. More makes a root that carts find too large.
MAX_KEYS = 64


@dataclass(frozen=True, slots=True)
class KeyCount:
    """How many keys a role has.

    Attributes:
        keys: In all.
        threshold: How many of them must sign. Higher: that many must be stolen, and must be at hand to sign.
    """

    keys: int
    threshold: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= self.keys:
            raise RegistryError(f"{self.threshold} of {self.keys} keys cannot sign")
        if self.keys > MAX_KEYS:
            raise RegistryError(f"{self.keys} keys are more than {MAX_KEYS}")


def initialise(
    storage: Storage,
    keys: KeyRing,
    *,
    counts: Mapping[Role, KeyCount],
    settings: RegistrySettings,
    now: Callable[[], datetime] = utc_now,
) -> bytes:
    """Begin an empty repository with new keys.

    Args:
        storage: Empty.
        keys: Folders of which the first belongs to no repository.
        counts: Keys of each role.
        settings: How long metadata holds.
        now: The time of day, with its zone.

    Returns:
        The root that carts are to trust.

    Raises:
        RegistryError: there is a repository already, or something cannot be written.
    """
    keys.refuse_used()
    for role in counts:
        keys.refuse_clear(role)
    with storage.lock(LOCK, LOCK_TIMEOUT_S):
        if storage.names("metadata"):
            raise RegistryError(
                "there is a repository already; only if its init was interrupted, and no cart trusts it, "
                "delete its folder and that of its keys, and begin anew"
            )
        keys.found(settings)
        repository = SignedMetadata(storage, keys, now)
        with repository.edit_root() as root:
            for role, count in counts.items():
                _replace_keys(root, role, keys.generate(role, count.keys), count.threshold)
        trusted = repository.open("root").to_bytes()
        keys.trust(trusted)
        with repository.edit_targets():
            pass
        repository.do_snapshot()
        repository.do_timestamp()
    return trusted


def rotate(
    storage: Storage,
    keys: KeyRing,
    roles: Collection[Role],
    *,
    key_count: int | None = None,
    threshold: int | None = None,
    lost: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> int:
    """Give roles new keys instead of all that they had. Carts follow by themselves.

    All that is live is first signed with the old and the new keys, then the root names the new ones: a cart
    believes what it reads before and after.

    Args:
        storage: Of the repository.
        keys: Root keys, and those of the roles.
        roles: Which; none: the root is signed anew with the keys that it has, and holds for longer.
        key_count: How many keys each of the roles has from now on; None: as many as it had.
        threshold: How many of them must sign from now on; None: as many as before.
        lost: Old keys of targets, snapshot or timestamp are gone. Between the new root and the new signatures
            (milliseconds, or until this is called again) carts refuse the repository.
        now: The time of day, with its zone.

    Returns:
        The version of the new root.

    Raises:
        RegistryError: keys are missing or too few for the threshold, and nothing was written; or something
            cannot be written.
    """
    with storage.lock(LOCK, LOCK_TIMEOUT_S):
        repository = SignedMetadata(storage, keys, now)
        repository.load(any_root=lost)
        _require_keys(repository.root(), keys, roles, lost=lost)
        following = repository.root()
        counts = {role: _count(following, role, key_count, threshold) for role in roles}
        for role, count in counts.items():
            _replace_keys(following, role, keys.generate(role, count.keys), count.threshold)
        if not lost:
            repository.roots = (repository.root(), following)
            _sign_again(repository, roles)
            repository.roots = (repository.root(),)
        with repository.edit_root() as root:
            root.keys, root.roles = following.keys, following.roles
        if lost:
            _sign_again(repository, roles)
        version = repository.root().version
        for role in roles:
            keys.retire(role, keep=following.get_delegated_role(role).keyids)
    return version


def _require_keys(root: Root, keys: KeyRing, roles: Collection[Role], *, lost: bool) -> None:
    """Check that the rotation can be finished: half of one would make carts refuse the repository."""
    for role in roles:
        keys.refuse_clear(role)
    for role in ("root", *_signed_again(roles)):
        # After keys were lost, all but the root is signed with the new ones only.
        if role == "root" or not lost or role not in roles:
            known = root.get_delegated_role(role)
            keys.require(role, known.keyids, known.threshold)


def _count(root: Root, role: Role, keys: int | None, threshold: int | None) -> KeyCount:
    old = root.get_delegated_role(role)
    return KeyCount(
        len(old.keyids) if keys is None else keys, old.threshold if threshold is None else threshold
    )


def _replace_keys(root: Root, role: Role, signers: Mapping[str, CryptoSigner], threshold: int) -> None:
    for keyid in tuple(root.get_delegated_role(role).keyids):
        root.revoke_key(keyid, role)
    for signer in signers.values():
        root.add_key(signer.public_key, role)
    root.get_delegated_role(role).threshold = threshold


def _signed_again(roles: Collection[Role]) -> tuple[Role, ...]:
    """Return what must be signed anew when roles get new keys: each names the one before it."""
    if "targets" in roles:
        return ("targets", "snapshot", "timestamp")
    return ("snapshot", "timestamp") if {"snapshot", "timestamp"} & set(roles) else ()


def _sign_again(repository: SignedMetadata, roles: Collection[Role]) -> None:
    again = _signed_again(roles)
    if "targets" in again:
        with repository.edit_targets():
            pass
    if again:
        repository.do_snapshot(force=True)
        repository.do_timestamp(force=True)
