"""Who made a model: Ed25519 over the exact bytes of `manifest.json` (RFC 8032).

The manifest holds the sha256 of every ONNX file and golden frame, so its signature covers the folder.
`manifest.sig` is JSON: `{"key_id": "<16 hex>", "signature": "<base64 of 64 bytes>"}`; the key's id is
the start of the sha256 of the raw public key. A trusted key is a file `*.pub`: base64 of 32 raw bytes.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fleet_agent.durable import open_regular
from fleet_agent.errors import SignatureError
from fleet_agent.manifest import MAX_MANIFEST_BYTES

MANIFEST_NAME, SIGNATURE_NAME = "manifest.json", "manifest.sig"
KEY_ID_CHARACTERS = 16
PUBLIC_KEY_BYTES = 32
# A signature is 150 bytes and a key 45; more than this is something else and is not read.
MAX_SIGNATURE_BYTES = 4096
# A fleet has a key in use, a next one and a few old ones; a folder with more is a mistake.
MAX_TRUSTED_KEYS = 64


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key_id: str
    signature: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A new pair of keys.

    Attributes:
        private_pem: PKCS 8, not encrypted: keep it out of repositories and off carts.
        public: 32 raw bytes.
    """

    private_pem: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"SigningKey({key_id(self.public)})"


def key_id(public: bytes) -> str:
    """Return the name of a public key."""
    return hashlib.sha256(public).hexdigest()[:KEY_ID_CHARACTERS]


def generate_key() -> SigningKey:
    """Draw a new pair of keys."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey(pem, private.public_key().public_bytes_raw())


def write_public_key(keys: Path, public: bytes) -> Path:
    """Put a public key into a folder of trusted keys.

    Returns:
        The file, named after the key.
    """
    keys.mkdir(parents=True, exist_ok=True)
    path = keys / f"{key_id(public)}.pub"
    path.write_bytes(base64.b64encode(public) + b"\n")
    return path


def trusted_keys(keys: Path) -> dict[str, bytes]:
    """Read the public keys of a folder.

    Args:
        keys: Folder of `*.pub` files. A missing folder holds no keys.

    Returns:
        Key id to 32 raw bytes.

    Raises:
        SignatureError: a file is no public key, or there are too many.
    """
    paths = sorted(keys.glob("*.pub"))
    if len(paths) > MAX_TRUSTED_KEYS:
        raise SignatureError(f"{keys} holds {len(paths)} keys, more than {MAX_TRUSTED_KEYS}")
    publics = [_public_key(path) for path in paths]
    return {key_id(public): public for public in publics}


def _public_key(path: Path) -> bytes:
    try:
        public = base64.b64decode(_read(path, MAX_SIGNATURE_BYTES).strip(), validate=True)
    except binascii.Error as error:
        raise SignatureError(f"{path} is not base64: {error}") from error
    if len(public) != PUBLIC_KEY_BYTES:
        raise SignatureError(f"{path} holds {len(public)} bytes, not {PUBLIC_KEY_BYTES}")
    return public


def sign_manifest(directory: Path, private_pem: bytes) -> str:
    """Write `manifest.sig` beside a model's manifest.

    Args:
        directory: The model's folder; `manifest.json` is final.
        private_pem: Of `generate_key`.

    Returns:
        The key's id.

    Raises:
        SignatureError: the manifest cannot be read, or the key is not an Ed25519 private key.
    """
    try:
        private = load_pem_private_key(private_pem, password=None)
    except (ValueError, TypeError) as error:
        raise SignatureError("the private key is not a PKCS 8 PEM without a password") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SignatureError("the private key is not an Ed25519 key")
    document = _read(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    name = key_id(private.public_key().public_bytes_raw())
    signature = base64.b64encode(private.sign(document)).decode()
    (directory / SIGNATURE_NAME).write_bytes(msgspec.json.encode(_Signature(name, signature)) + b"\n")
    return name


def verify_manifest(directory: Path, trusted: Mapping[str, bytes]) -> str:
    """Check who signed a model.

    Args:
        directory: The model's folder.
        trusted: Key id to raw public key, as `trusted_keys` returns.

    Returns:
        The id of the key that signed.

    Raises:
        SignatureError: no signature, not by a trusted key, or of another document.
    """
    document = _read(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    return verify_document(document, _read(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES), trusted)


def verify_offer(document: bytes, signature: bytes, trusted: Mapping[str, bytes]) -> str:
    """Check a manifest against its signature file, which may be missing: empty; see `verify_manifest`."""
    if not signature:
        raise SignatureError(f"the model is not signed: it has no readable {SIGNATURE_NAME}")
    return verify_document(document, signature, trusted)


def verify_document(document: bytes, signature: bytes, trusted: Mapping[str, bytes]) -> str:
    """Check the bytes of a manifest against the bytes of its signature file; see `verify_manifest`."""
    try:
        claim = msgspec.json.decode(signature, type=_Signature)
        raw = base64.b64decode(claim.signature, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise SignatureError(f"{SIGNATURE_NAME} cannot be read: {error}") from error
    public = trusted.get(claim.key_id)
    if public is None or key_id(public) != claim.key_id:
        known = ", ".join(sorted(trusted)) or "none"
        raise SignatureError(
            f"signed by key {claim.key_id[:64]!r}, which is not trusted here; trusted: {known}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, document)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"the signature of key {claim.key_id} does not fit: the manifest was changed after it was signed"
        ) from error
    return claim.key_id


def _read(path: Path, most_bytes: int) -> bytes:
    """Read a small file; never more than its limit, however large it is."""
    try:
        with open_regular(path) as file:
            document = file.read(most_bytes + 1)
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror or error}") from error
    if len(document) > most_bytes:
        raise SignatureError(f"{path} has more than {most_bytes} bytes")
    return document
