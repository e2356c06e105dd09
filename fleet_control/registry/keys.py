"""Private keys, in folders that are not the repository's.

    KEYS/trusted-root.json          what is trusted from the start; carts get the same file
    KEYS/settings.json              how long metadata of each role holds
    KEYS/<role>/<key id>.pem        root, targets, snapshot, timestamp: PKCS 8, mode 0600, perhaps encrypted
    KEYS/retired/<role>/            keys that were rotated out

Any of the role folders may be missing: root and targets keys stay offline, and a machine that only renews
timestamps has no others.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from fleet_control.errors import RegistryError
from fleet_control.registry.bounded import read_bounded
from fleet_control.registry.key_files import MAX_KEY_BYTES, is_encrypted, load_signer, pem, write_private
from fleet_control.registry.passphrases import Passphrases, passphrase_env
from fleet_control.registry.settings import RegistrySettings, Role

TRUSTED_ROOT, SETTINGS, RETIRED = "trusted-root.json", "settings.json", "retired"
# Of 64 in a key's id: as many as people compare. Fewer might be those of two keys.
ID_CHARACTERS = 16
# A root has 5 kB; more is something else and is not read.
MAX_ROOT_BYTES = 512_000


class KeyRing:
    """The keys at hand.

    Args:
        folders: Folders of keys: what has been plugged in. New keys go into the first.
        passphrases: For all of them.
    """

    def __init__(self, folders: Sequence[Path], passphrases: Passphrases | None = None) -> None:
        self._folders = tuple(folders)
        self._passphrases = passphrases or Passphrases()

    def trusted_root(self) -> bytes:
        """Return the root that is trusted from the start.

        Raises:
            RegistryError: no folder holds it.
        """
        return read_bounded(self._first(TRUSTED_ROOT), MAX_ROOT_BYTES)

    def settings(self) -> RegistrySettings:
        """Return how long metadata holds.

        Raises:
            RegistryError: no folder says so, or it cannot be read.
        """
        path = self._first(SETTINGS)
        try:
            return msgspec.json.decode(read_bounded(path, MAX_KEY_BYTES), type=RegistrySettings)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RegistryError(f"{path}: {error}") from error

    def signers(self, role: Role, wanted: Collection[str] | None = None) -> dict[str, CryptoSigner]:
        """Return the keys of a role, by their ids.

        Args:
            role: Whose.
            wanted: Ids; files of other keys, whose passphrase may be forgotten, are not opened. None: all.

        Raises:
            RegistryError: a key cannot be read or opened, or others may read it too.
        """
        paths = (path for path in self.files(role) if wanted is None or path.stem in wanted)
        signers = [load_signer(path, self._passphrases.of(role), passphrase_env(role)) for path in paths]
        return {
            signer.public_key.keyid: signer
            for signer in signers
            if wanted is None or signer.public_key.keyid in wanted
        }

    def require(self, role: Role, keyids: Collection[str], threshold: int) -> None:
        """Check that so many of some keys are at hand as must sign.

        Raises:
            RegistryError: they are not, or one cannot be read or opened.
        """
        if len(self.signers(role, keyids)) < threshold:
            raise self.too_few(role, keyids, threshold)

    def too_few(self, role: Role, keyids: Collection[str], threshold: int) -> RegistryError:
        """Return what says which keys must sign, and which are at hand instead."""
        at_hand = {path.stem for path in self.files(role)}
        return RegistryError(
            f"too few keys of {role} are at hand: {len(at_hand & set(keyids))} of {threshold}; "
            f"wanted: {threshold} of {_short(keyids)}; "
            f"found in {', '.join(map(str, self._folders))}: {_short(at_hand) or 'none'}"
        )

    def refuse_clear(self, role: Role) -> None:
        """Check that a new key of a role would be encrypted if those at hand are.

        Raises:
            RegistryError: it would lie in the clear beside them, as somebody forgot to set the passphrase.
        """
        if self._passphrases.of(role) is not None:
            return
        for path in self.files(role):
            if is_encrypted(path):
                raise RegistryError(
                    f"{path} is encrypted, and a new key would not be: set {passphrase_env(role)}, "
                    f"or move the old keys of {role} away"
                )

    def refuse_used(self) -> None:
        """Check that new keys would not be mixed with those of another repository.

        Raises:
            RegistryError: they would.
        """
        if (self._folders[0] / SETTINGS).exists():
            raise RegistryError(f"{self._folders[0]} holds the keys of a repository already")

    def found(self, settings: RegistrySettings) -> None:
        """Begin the keys of a new repository.

        Raises:
            RegistryError: the folder belongs to a repository already, or cannot be written.
        """
        self.refuse_used()
        write_private(self._folders[0] / SETTINGS, msgspec.json.format(msgspec.json.encode(settings)) + b"\n")

    def trust(self, root: bytes) -> None:
        """Keep the root that is trusted from the start.

        Raises:
            RegistryError: there is one already, or the folder cannot be written.
        """
        write_private(self._folders[0] / TRUSTED_ROOT, root)

    def generate(self, role: Role, count: int) -> dict[str, CryptoSigner]:
        """Draw new keys and keep them before anybody trusts them.

        Raises:
            RegistryError: they cannot be written, or would be less protected than the old ones.
        """
        self.refuse_clear(role)
        signers = {}
        for _ in range(count):
            private = Ed25519PrivateKey.generate()
            signer = CryptoSigner(private)
            path = self._folders[0] / role / f"{signer.public_key.keyid}.pem"
            write_private(path, pem(private, self._passphrases.of(role)))
            signers[signer.public_key.keyid] = signer
        return signers

    def retire(self, role: Role, keep: Sequence[str]) -> None:
        """Move the keys of a role aside that are not to be kept.

        Raises:
            RegistryError: they cannot be moved.
        """
        for path in self.files(role):
            if path.stem not in keep:
                aside = path.parents[1] / RETIRED / role / path.name
                try:
                    aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    path.replace(aside)
                except OSError as error:
                    raise RegistryError(f"{path}: {error.strerror or error}") from error

    def files(self, role: Role) -> tuple[Path, ...]:
        """Return where the keys of a role lie."""
        return tuple(path for folder in self._folders for path in sorted((folder / role).glob("*.pem")))

    def retired(self, role: Role) -> tuple[Path, ...]:
        """Return where keys of a role lie that were rotated out."""
        asides = (folder / RETIRED / role for folder in self._folders)
        return tuple(path for aside in asides for path in sorted(aside.glob("*.pem")))

    def _first(self, name: str) -> Path:
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        raise RegistryError(f"none of {', '.join(map(str, self._folders))} holds {name}")


def _short(keyids: Iterable[str]) -> str:
    """Return key ids as people compare them."""
    return ", ".join(f"{keyid[:ID_CHARACTERS]}…" for keyid in sorted(keyids))
