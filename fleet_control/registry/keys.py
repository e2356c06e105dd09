"""Private keys of the repository, in a folder that is not the repository.

One PEM file (PKCS8, ed25519) per key, named after its role, readable by its owner alone, encrypted where a
passphrase is given. The keys of `root` and `targets` belong offline: copy their files away after `init`, and
bring them back for a publication or a rotation. Those of `snapshot` and `timestamp` stay with whoever renews.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from fleet_control.errors import RegistryError

PASSPHRASE_FILE_ENV = "CARTWRIGHT_KEYS_PASSPHRASE_FILE"  # noqa: S105  # the variable's name
ROLES = ("root", "targets", "snapshot", "timestamp")
# A key file is some hundred bytes.
MAX_KEY_BYTES = 16_384


def read_passphrase(environment: Mapping[str, str] = os.environ) -> bytes | None:
    """Return the passphrase of the key files from the file that the environment names; None: there is none.

    Raises:
        RegistryError: the file cannot be read, or is empty.
    """
    name = environment.get(PASSPHRASE_FILE_ENV)
    if not name:
        return None
    try:
        words = Path(name).read_bytes().strip()
    except OSError as error:
        raise RegistryError(f"{PASSPHRASE_FILE_ENV}: {name}: {error.strerror or error}") from error
    if not words:
        raise RegistryError(f"{PASSPHRASE_FILE_ENV}: {name} is empty")
    return words


class KeyFolder:
    """The folder of private keys.

    Args:
        folder: Made by `make` if it is not there.
        passphrase: Of the files; None: they are not encrypted.
    """

    def __init__(self, folder: Path, passphrase: bytes | None = None) -> None:
        self._folder = folder
        self._passphrase = passphrase

    def __str__(self) -> str:
        return str(self._folder) if self._folder.is_dir() else f"{self._folder} (which is not there)"

    def make(self, role: str) -> SSlibKey:
        """Make a key for a role; returns its public part.

        Raises:
            RegistryError: the file cannot be written.
        """
        private = Ed25519PrivateKey.generate()
        signer = CryptoSigner(private)
        protection = BestAvailableEncryption(self._passphrase) if self._passphrase else NoEncryption()
        document = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        path = self._folder / f"{role}-{signer.public_key.keyid[:16]}.pem"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RegistryError(f"{path}: {error.strerror or error}") from error
        return signer.public_key

    def signers(self, role: str, wanted: Mapping[str, Key]) -> list[CryptoSigner]:
        """Return the signers of a role whose public keys are wanted, as far as their files are here.

        Args:
            role: Of the files.
            wanted: Public keys by id.

        Raises:
            RegistryError: a file cannot be read.
        """
        found = [self._load(path) for path in sorted(self._folder.glob(f"{role}-*.pem"))]
        return [signer for signer in found if signer.public_key.keyid in wanted]

    def _load(self, path: Path) -> CryptoSigner:
        try:
            with path.open("rb") as file:
                document = file.read(MAX_KEY_BYTES)
            private = load_pem_private_key(document, self._passphrase)
        except OSError as error:
            raise RegistryError(f"{path}: {error.strerror or error}") from error
        except (ValueError, TypeError) as error:
            # Whatever the library says, it says it without the key.
            why = "no such key, or the passphrase is wrong or missing"
            raise RegistryError(f"{path}: {why}; {PASSPHRASE_FILE_ENV} names its file") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise RegistryError(f"{path}: not an ed25519 key")
        return CryptoSigner(private)
