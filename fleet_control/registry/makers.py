"""Who made a model: `manifest.sig`, checked as carts check it before they take the model.

Read here again and not through the cart's code, as in `model`. The signature is JSON:
`{"key_id": "<16 hex>", "signature": "<base64>"}`, Ed25519 over the bytes of `manifest.json`. The key's id is
the start of the sha256 of its 32 raw bytes; a trusted key is a file `*.pub` with their base64.
"""

import base64
import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta, Struct

from fleet_control.errors import RegistryError
from fleet_control.registry.bounded import read_bounded
from fleet_control.registry.model import MANIFEST, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, SIGNATURE

KEY_ID_CHARACTERS = 16


class _Signature(Struct, frozen=True, forbid_unknown_fields=True):
    key_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    signature: str


def claimed_maker(directory: Path) -> str:
    """Return the id of the key by which a model says that it is signed.

    Raises:
        RegistryError: `manifest.sig` is not written as carts read it.
    """
    return _read(directory / SIGNATURE)[0]


def check_maker(directory: Path, trusted: Path) -> str:
    """Check a model's signature.

    Args:
        directory: The model's folder.
        trusted: Folder of `*.pub` files, as carts have it.

    Returns:
        The id of the key that signed.

    Raises:
        RegistryError: it is not signed by any of these keys, or the manifest was changed after it was signed.
    """
    keyid, signature = _read(directory / SIGNATURE)
    publics = {_key_id(public): public for public in map(_public, sorted(trusted.glob("*.pub")))}
    if keyid not in publics:
        known = ", ".join(publics) or "none"
        raise RegistryError(f"{directory} is signed by key {keyid}, and {trusted} holds {known}")
    try:
        document = read_bounded(directory / MANIFEST, MAX_MANIFEST_BYTES)
        Ed25519PublicKey.from_public_bytes(publics[keyid]).verify(signature, document)
    except InvalidSignature as error:
        raise RegistryError(
            f"{directory / SIGNATURE} does not fit {MANIFEST}, which was changed after key {keyid} signed "
            "it: carts would refuse the model; sign it anew"
        ) from error
    return keyid


def _read(path: Path) -> tuple[str, bytes]:
    try:
        claim = msgspec.json.decode(read_bounded(path, MAX_SIGNATURE_BYTES), type=_Signature)
        return claim.key_id, base64.b64decode(claim.signature, validate=True)
    except (msgspec.DecodeError, ValueError) as error:
        raise RegistryError(f"{path} is no signature as carts read it: {error}") from error


def _public(path: Path) -> bytes:
    try:
        public = base64.b64decode(read_bounded(path, MAX_SIGNATURE_BYTES).strip(), validate=True)
        Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise RegistryError(f"{path} is no public key: {error}") from error
    return public


def _key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:KEY_ID_CHARACTERS]
