"""Private keys, in folders that are not the repository's.

    KEYS/trusted-root.json          what is trusted from the start; carts get the same file
    KEYS/settings.json              how long metadata of each role holds
    KEYS/<role>/<key id>.pem        root, targets, snapshot, timestamp: PKCS 8, mode 0600, perhaps encrypted
    KEYS/retired/<role>/            keys that were rotated out

Any of the role folders may be missing: root and targets keys stay offline, and a machine that only renews
timestamps has no others.
"""

import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from fleet_control.errors import RegistryError
from fleet_control.registry.bounded import read_bounded
from fleet_control.registry.settings import RegistrySettings
from fleet_control.registry.storage import sync_folder

Role = Literal["root", "targets", "snapshot", "timestamp"]
ROLES: tuple[Role, ...] = get_args(Role)
ONLINE_ROLES: tuple[Role, ...] = ("snapshot", "timestamp")
TRUSTED_ROOT, SETTINGS, RETIRED = "trusted-root.json", "settings.json", "retired"
# The environment variables of passphrases; with `_FILE` behind, each names a file instead.
PASSPHRASE_ENV, ONLINE_PASSPHRASE_ENV = "CARTWRIGHT_KEYS_PASSPHRASE", "CARTWRIGHT_ONLINE_KEYS_PASSPHRASE"
# A key is 200 bytes and a root 5 kB; more is something else and is not read.
MAX_KEY_BYTES = 64_000
MAX_ROOT_BYTES = 512_000


@dataclass(frozen=True, slots=True)
class Passphrases:
    """What opens encrypted keys; None: keys are not encrypted.

    Attributes:
        offline: Of root and targets keys.
        online: Of snapshot and timestamp keys.
    """

    offline: bytes | None = None
    online: bytes | None = None

    def __repr__(self) -> str:
        return "Passphrases(...)"

    def of(self, role: Role) -> bytes | None:
        """Return that of a role's keys."""
        return self.online if role in ONLINE_ROLES else self.offline


def read_passphrases(environment: Mapping[str, str]) -> Passphrases:
    """Take passphrases from the environment or from the files that it names.

    Raises:
        RegistryError: a file cannot be read, or a passphrase is empty.
    """
    return Passphrases(
        _passphrase(environment, PASSPHRASE_ENV), _passphrase(environment, ONLINE_PASSPHRASE_ENV)
    )


def _passphrase(environment: Mapping[str, str], variable: str) -> bytes | None:
    content: bytes | None = None
    if variable in environment:
        content = environment[variable].encode()
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

    def signers(self, role: Role) -> dict[str, CryptoSigner]:
        """Return the keys of a role, by their ids.

        Raises:
            RegistryError: a key cannot be read or opened, or others may read it too.
        """
        found = (path for folder in self._folders for path in sorted((folder / role).glob("*.pem")))
        signers = [load_signer(path, self._passphrases.of(role)) for path in found]
        return {signer.public_key.keyid: signer for signer in signers}

    def found(self, settings: RegistrySettings) -> None:
        """Begin the keys of a new repository.

        Raises:
            RegistryError: the folder belongs to a repository already, or cannot be written.
        """
        path = self._folders[0] / SETTINGS
        if path.exists():
            raise RegistryError(f"{self._folders[0]} holds the keys of a repository already")
        _write_private(path, msgspec.json.format(msgspec.json.encode(settings)) + b"\n")

    def trust(self, root: bytes) -> None:
        """Keep the root that is trusted from the start.

        Raises:
            RegistryError: there is one already, or the folder cannot be written.
        """
        _write_private(self._folders[0] / TRUSTED_ROOT, root)

    def generate(self, role: Role, count: int) -> dict[str, CryptoSigner]:
        """Draw new keys and keep them before anybody trusts them.

        Raises:
            RegistryError: they cannot be written.
        """
        signers = {}
        for _ in range(count):
            private = Ed25519PrivateKey.generate()
            signer = CryptoSigner(private)
            path = self._folders[0] / role / f"{signer.public_key.keyid}.pem"
            _write_private(path, _pem(private, self._passphrases.of(role)))
            signers[signer.public_key.keyid] = signer
        return signers

    def retire(self, role: Role, keep: Sequence[str]) -> None:
        """Move the keys of a role aside that are not to be kept.

        Raises:
            RegistryError: they cannot be moved.
        """
        for folder in self._folders:
            for path in sorted((folder / role).glob("*.pem")):
                if path.stem not in keep:
                    aside = folder / RETIRED / role / path.name
                    try:
                        aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                        path.replace(aside)
                    except OSError as error:
                        raise RegistryError(f"{path}: {error.strerror or error}") from error

    def _first(self, name: str) -> Path:
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        raise RegistryError(f"none of {', '.join(map(str, self._folders))} holds {name}")


def load_signer(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """Read a private key.

    Raises:
        RegistryError: it cannot be read or opened, is no Ed25519 key, or others may read it too.
    """
    content = read_bounded(path, MAX_KEY_BYTES)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RegistryError(f"{path} may be read by others: chmod 600 it, or better rotate it")
    encrypted = b"ENCRYPTED" in content.split(b"\n", 1)[0]
    if encrypted and passphrase is None:
        raise RegistryError(f"{path} is encrypted: set {PASSPHRASE_ENV} or {ONLINE_PASSPHRASE_ENV}")
    try:
        private = load_pem_private_key(content, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause: that may quote the key.
        raise RegistryError(f"{path} is no PKCS 8 key, or the passphrase is another") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise RegistryError(f"{path} is no Ed25519 key")
    return CryptoSigner(private)


def _pem(private: Ed25519PrivateKey, passphrase: bytes | None) -> bytes:
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _write_private(path: Path, content: bytes) -> None:
    """Write a new file, whole or not at all, that only its owner may read from its first byte on."""
    incoming = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            raise RegistryError(f"{path} is there already")
        incoming.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            incoming.unlink()
