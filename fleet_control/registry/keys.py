"""Private keys, in folders that are not the repository's.

    KEYS/trusted-root.json          what is trusted from the start; carts get the same file
    KEYS/settings.json              how long metadata of each role holds
    KEYS/<role>/<key id>.pem        root, targets, snapshot, timestamp: PKCS 8, mode 0600, perhaps encrypted
    KEYS/retired/<role>/            keys that were rotated out

Any of the role folders may be missing: root and targets keys stay offline, and a machine that only renews
timestamps has no others.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from fleet_control.errors import RegistryError
from fleet_control.registry.bounded import read_bounded
from fleet_control.registry.key_files import MAX_KEY_BYTES, is_encrypted, load_signer, pem, write_private
from fleet_control.registry.settings import RegistrySettings

Role = Literal["root", "targets", "snapshot", "timestamp"]
ROLES: tuple[Role, ...] = get_args(Role)
ONLINE_ROLES: tuple[Role, ...] = ("snapshot", "timestamp")
TRUSTED_ROOT, SETTINGS, RETIRED = "trusted-root.json", "settings.json", "retired"
# The environment variables of passphrases; with `_FILE` behind, each names a file instead.
PASSPHRASE_ENV, ONLINE_PASSPHRASE_ENV = "CARTWRIGHT_KEYS_PASSPHRASE", "CARTWRIGHT_ONLINE_KEYS_PASSPHRASE"
# A root has 5 kB; more is something else and is not read.
MAX_ROOT_BYTES = 512_000
# As OpenSSL has it.
MAX_PASSPHRASE_BYTES = 1_023


def passphrase_env(role: Role) -> str:
    """Return which variable holds the passphrase of a role's keys."""
    return ONLINE_PASSPHRASE_ENV if role in ONLINE_ROLES else PASSPHRASE_ENV


@dataclass(frozen=True, slots=True)
class Passphrases:
    """What opens encrypted keys; None: keys are not encrypted.

    Attributes:
        offline: Of root and targets keys.
        online: Of snapshot and timestamp keys.

    Raises:
        RegistryError: one is longer than OpenSSL takes.
    """

    offline: bytes | None = None
    online: bytes | None = None

    def __post_init__(self) -> None:
        if any(len(one or b"") > MAX_PASSPHRASE_BYTES for one in (self.offline, self.online)):
            raise RegistryError(f"a passphrase has more than {MAX_PASSPHRASE_BYTES} bytes")

    def __repr__(self) -> str:
        return "Passphrases(...)"

    def of(self, role: Role) -> bytes | None:
        """Return that of a role's keys."""
        return self.online if role in ONLINE_ROLES else self.offline


def read_passphrases(environment: Mapping[str, str]) -> Passphrases:
    """Take passphrases from the environment or from the files that it names.

    Raises:
        RegistryError: a file cannot be read, or a passphrase is empty or too long.
    """
    return Passphrases(
        _passphrase(environment, PASSPHRASE_ENV), _passphrase(environment, ONLINE_PASSPHRASE_ENV)
    )


def _passphrase(environment: Mapping[str, str], variable: str) -> bytes | None:
    content: bytes | None = None
    if variable in environment:
        content = os.fsencode(environment[variable])
    elif path := environment.get(f"{variable}_FILE"):
        content = read_bounded(Path(path), MAX_KEY_BYTES).strip(b"\r\n")
    if content == b"":
        raise RegistryError(f"the passphrase of {variable} is empty")
    return content


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
        paths = (path for path in self._files(role) if wanted is None or path.stem in wanted)
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
        found = len(self.signers(role, keyids))
        if found < threshold:
            raise RegistryError(f"too few keys of {role} are at hand: {found} of {threshold}")

    def refuse_clear(self, role: Role) -> None:
        """Check that a new key of a role would be encrypted if those at hand are.

        Raises:
            RegistryError: it would lie in the clear beside them, as somebody forgot to set the passphrase.
        """
        if self._passphrases.of(role) is not None:
            return
        for path in self._files(role):
            if is_encrypted(path):
                raise RegistryError(
                    f"{path} is encrypted, and a new key would not be: set {passphrase_env(role)}, "
                    f"or move the old keys of {role} away"
                )

    def found(self, settings: RegistrySettings) -> None:
        """Begin the keys of a new repository.

        Raises:
            RegistryError: the folder belongs to a repository already, or cannot be written.
        """
        path = self._folders[0] / SETTINGS
        if path.exists():
            raise RegistryError(f"{self._folders[0]} holds the keys of a repository already")
        write_private(path, msgspec.json.format(msgspec.json.encode(settings)) + b"\n")

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
        for path in tuple(self._files(role)):
            if path.stem not in keep:
                aside = path.parents[1] / RETIRED / role / path.name
                try:
                    aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    path.replace(aside)
                except OSError as error:
                    raise RegistryError(f"{path}: {error.strerror or error}") from error

    def _files(self, role: Role) -> Iterator[Path]:
        return (path for folder in self._folders for path in sorted((folder / role).glob("*.pem")))

    def _first(self, name: str) -> Path:
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        raise RegistryError(f"none of {', '.join(map(str, self._folders))} holds {name}")
