"""A signature that carts would refuse is found before the model is published."""

import base64
import json
from pathlib import Path

import pytest

from fleet_agent.activation.signing import generate_key, sign_manifest, write_public_key
from fleet_control.errors import RegistryError
from fleet_control.registry.makers import check_maker, claimed_maker
from tests.fleet_agent.activation.models import KEY
from tests.fleet_control.registry.commands import Commands
from tests.repositories import SHIPPED, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that a maker signed."""
    return write_model(tmp_path / "model", 1)


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """The keys that carts trust: of that maker, and of another."""
    write_public_key(tmp_path / "trusted", KEY.public)
    write_public_key(tmp_path / "trusted", generate_key().public)
    return tmp_path / "trusted"


def change(model: Path) -> None:
    """Correct a word of the manifest, as people do after they have signed it."""
    manifest = model / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"version": "corrected"}))


def test_what_carts_take_is_taken(model: Path, trusted: Path) -> None:
    """The signature is the cart's own."""
    name = sign_manifest(model, KEY.private_pem)

    assert check_maker(model, trusted) == claimed_maker(model) == name
    assert check_maker(SHIPPED / "v1", SHIPPED / "keys") == claimed_maker(SHIPPED / "v1")


def test_a_manifest_that_was_changed_after_it_was_signed_is_not_published(
    commands: Commands, model: Path, trusted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every cart would refuse it; signed anew, it goes."""
    change(model)
    assert commands.run("publish", model, "--trusted-keys", trusted) == 1
    assert "does not fit manifest.json" in capsys.readouterr().err
    assert not (commands.repository / "targets").exists()

    sign_manifest(model, KEY.private_pem)

    assert commands.run("publish", model, "--trusted-keys", trusted) == 0


def test_a_signature_that_was_not_checked_is_told(
    commands: Commands, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the makers' public keys nobody can check it, and it must not look as if it was."""
    assert commands.run("publish", model) == 0

    assert f"names key {claimed_maker(model)}; whether it fits the manifest was not checked" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("others", [True, False])
def test_a_maker_whom_carts_do_not_trust_is_told(model: Path, tmp_path: Path, *, others: bool) -> None:
    """With the keys that they do trust, if any."""
    folder = tmp_path / "others"
    if others:
        write_public_key(folder, generate_key().public)

    with pytest.raises(RegistryError, match=f"signed by key {claimed_maker(model)}, and .*others holds"):
        check_maker(model, folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"key_id": "\x1b[2J", "signature": ""}',
        b'{"key_id": "0123456789abcdef", "signature": "?"}',
    ],
)
def test_what_is_no_signature_is_not_published(commands: Commands, model: Path, content: bytes) -> None:
    """Carts could not read it either."""
    (model / "manifest.sig").write_bytes(content)

    assert commands.run("publish", model) == 1
    with pytest.raises(RegistryError, match="no signature as carts read it"):
        claimed_maker(model)


@pytest.mark.parametrize("content", [b"?", base64.b64encode(bytes(3))])
def test_what_is_no_public_key_is_told(model: Path, tmp_path: Path, content: bytes) -> None:
    """In a sentence, whichever key it is."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.pub").write_bytes(content)

    with pytest.raises(RegistryError, match="is no public key"):
        check_maker(model, tmp_path / "keys")
