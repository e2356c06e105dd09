"""Keys and signatures from the command line."""

import shutil
import stat
from pathlib import Path

import pytest

import fleet_agent
from fleet_agent.activation.signing import trusted_keys, verify_manifest
from fleet_agent.errors import SignatureError
from training.sign import PUBLIC_NAME, main

SHIPPED = Path(fleet_agent.__file__).parent / "models"


def draw(folder: Path) -> Path:
    """Draw a pair of keys and return the private one's file."""
    private = folder / "secret" / "key.pem"
    assert main(["keygen", "--keys", str(folder / "keys"), "--private", str(private)]) == 0
    return private


def test_a_model_is_signed_again_with_a_new_key(tmp_path: Path) -> None:
    """Two commands: a new pair, and all models carry its signature; the old key no longer counts."""
    model = tmp_path / "v1"
    shutil.copytree(SHIPPED / "v1", model)
    private = draw(tmp_path)
    assert main(["sign", "--key", str(private), str(model)]) == 0
    ours = trusted_keys(tmp_path / "keys")
    assert verify_manifest(model, ours) in ours
    with pytest.raises(SignatureError, match="not trusted"):
        verify_manifest(model, trusted_keys(SHIPPED / "keys"))


def test_the_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    """No other user reads it, and only the public one lies among the trusted keys."""
    private = draw(tmp_path)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [PUBLIC_NAME]


def test_a_private_key_is_never_overwritten(tmp_path: Path) -> None:
    """A second draw into the same file fails: whoever loses the key loses the fleet."""
    private = draw(tmp_path)
    before = private.read_bytes()
    with pytest.raises(FileExistsError):
        draw(tmp_path)
    assert private.read_bytes() == before
