"""The file of one private key: PKCS 8, mode 0600, perhaps encrypted."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

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
from fleet_control.registry.storage import sync_folder

# A key is 200 bytes; more is something else and is not read.
MAX_KEY_BYTES = 64_000


def is_encrypted(path: Path) -> bool:
    """Tell whether a passphrase opens a private key.

    Raises:
        RegistryError: it cannot be read.
    """
    return _says_encrypted(read_bounded(path, MAX_KEY_BYTES))


def load_signer(path: Path, passphrase: bytes | None, variable: str) -> CryptoSigner:
    """Read a private key.

    Args:
        path: Of it.
        passphrase: What opens it, if it is encrypted.
        variable: Where people set the passphrase.

    Raises:
        RegistryError: it cannot be read or opened, is no Ed25519 key, or others may read it too.
    """
    content = read_bounded(path, MAX_KEY_BYTES)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RegistryError(f"{path} may be read by others: chmod 600 it, or better rotate it")
    encrypted = _says_encrypted(content)
    if encrypted and passphrase is None:
        raise RegistryError(f"{path} is encrypted: set {variable}")
    try:
        private = load_pem_private_key(content, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause: that may quote the key.
        raise RegistryError(f"{path} is no PKCS 8 key, or {variable} is not its passphrase") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise RegistryError(f"{path} is no Ed25519 key")
    return CryptoSigner(private)


def _says_encrypted(pem: bytes) -> bool:
    return b"ENCRYPTED" in pem.split(b"\n", 1)[0]


def pem(private: Ed25519PrivateKey, passphrase: bytes | None) -> bytes:
    """Return what a private key's file holds; None: it is not encrypted."""
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def write_private(path: Path, content: bytes) -> None:
    """Write a new file, whole or not at all, that only its owner may read from its first byte on.

    Raises:
        RegistryError: it is there already, or cannot be written.
    """
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
