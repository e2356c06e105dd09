"""Stories about who made a model."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.activation.signing import (
    SIGNATURE_NAME,
    SigningKey,
    generate_key,
    key_id,
    sign_manifest,
    trusted_keys,
    verify_document,
    verify_manifest,
    write_public_key,
)
from fleet_agent.errors import SignatureError

KEY = generate_key()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a manifest signed by KEY."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(b'{"schema": 2}')
    sign_manifest(folder, KEY.private_pem)
    return folder


def test_a_signed_manifest_is_accepted_by_who_trusts_the_key(model: Path, tmp_path: Path) -> None:
    """Public keys of a folder verify what the private key signed."""
    write_public_key(tmp_path / "keys", KEY.public)
    write_public_key(tmp_path / "keys", generate_key().public)
    trusted = trusted_keys(tmp_path / "keys")
    assert len(trusted) == 2
    assert verify_manifest(model, trusted) == key_id(KEY.public)


def test_a_stranger_is_refused(model: Path) -> None:
    """A manifest signed by a key that is not trusted is refused and the key is named."""
    with pytest.raises(SignatureError, match=key_id(KEY.public)):
        verify_manifest(model, {key_id(other.public): other.public for other in [generate_key()]})
    with pytest.raises(SignatureError, match="none"):
        verify_manifest(model, {})


def test_a_stranger_who_borrows_a_trusted_name_is_refused(model: Path) -> None:
    """The key's id alone opens nothing."""
    stranger = generate_key()
    sign_manifest(model, stranger.private_pem)
    claim = json.loads((model / SIGNATURE_NAME).read_bytes())
    (model / SIGNATURE_NAME).write_text(json.dumps({**claim, "key_id": key_id(KEY.public)}))
    with pytest.raises(SignatureError, match="does not fit"):
        verify_manifest(model, {key_id(KEY.public): KEY.public})
    with pytest.raises(SignatureError, match="not trusted"):
        verify_manifest(model, {key_id(KEY.public): stranger.public})


@given(position=st.integers(0, 12), bit=st.integers(0, 7))
def test_any_changed_bit_of_the_manifest_is_found(position: int, bit: int) -> None:
    """A signature fits one document only."""
    document = bytearray(b'{"schema": 2}')
    signature = _signature(KEY, bytes(document))
    trusted = {key_id(KEY.public): KEY.public}
    assert verify_document(bytes(document), signature, trusted) == key_id(KEY.public)
    document[position] ^= 1 << bit
    with pytest.raises(SignatureError, match="does not fit"):
        verify_document(bytes(document), signature, trusted)


@given(st.binary(max_size=200))
def test_any_bytes_as_signature_are_refused_in_our_words(signature: bytes) -> None:
    """Garbage in `manifest.sig` gives a SignatureError and nothing else."""
    with pytest.raises(SignatureError):
        verify_document(b"{}", signature, {key_id(KEY.public): KEY.public})


def test_missing_and_oversized_files_are_refused(model: Path) -> None:
    """No signature, or one of megabytes, is an error of ours."""
    trusted = {key_id(KEY.public): KEY.public}
    (model / SIGNATURE_NAME).write_bytes(b" " * 5000)
    with pytest.raises(SignatureError, match="4096"):
        verify_manifest(model, trusted)
    (model / SIGNATURE_NAME).unlink()
    with pytest.raises(SignatureError, match="No such file"):
        verify_manifest(model, trusted)


@pytest.mark.parametrize("content", [b"not base64!", base64.b64encode(b"short"), b""])
def test_a_file_that_is_no_public_key_is_named(tmp_path: Path, content: bytes) -> None:
    """A broken key file is an error, not a key less."""
    (tmp_path / "broken.pub").write_bytes(content)
    with pytest.raises(SignatureError, match=r"broken\.pub"):
        trusted_keys(tmp_path)


def test_a_private_key_is_never_shown(model: Path) -> None:
    """Neither the key's repr nor an error of signing holds the private key."""
    assert "PRIVATE" not in repr(KEY)
    with pytest.raises(SignatureError) as caught:
        sign_manifest(model, KEY.private_pem.replace(b"MC4", b"XX4"))
    assert "XX4" not in str(caught.value)


def _signature(key: SigningKey, document: bytes) -> bytes:
    """Sign in memory, by the cryptography package and not by the code under test."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(key.private_pem, None)
    assert isinstance(private, Ed25519PrivateKey)
    raw = base64.b64encode(private.sign(document)).decode()
    return json.dumps({"key_id": key_id(key.public), "signature": raw}).encode()
