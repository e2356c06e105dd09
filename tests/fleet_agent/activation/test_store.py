"""Stories about the cart's own copies of models."""

import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from fleet_agent.activation.signing import generate_key, key_id, sign_manifest
from fleet_agent.activation.store import ModelStore, read_offer
from fleet_agent.errors import ManifestError, ModelError, SignatureError
from fleet_agent.manifest import Artifact, load_manifest
from tests.fleet_agent.activation.models import TRUSTED, network, write_manifest, write_model


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store."""
    return ModelStore(tmp_path / "models", TRUSTED)


def test_only_what_the_manifest_lists_is_kept(store: ModelStore, tmp_path: Path) -> None:
    """A script that lies beside the model stays outside, and the original is not needed afterwards."""
    folder = write_model(tmp_path / "offered")
    (folder / "evil.so").write_bytes(b"code")
    kept = store.admit(read_offer(folder))
    names = sorted(path.name for path in kept.directory.rglob("*") if path.is_file())
    assert names == ["0.png", "1.png", "2.png", "manifest.json", "manifest.sig", "model.onnx"]
    for path in folder.rglob("*"):
        path.unlink() if path.is_file() else None
    assert store.open(kept.name).manifest == kept.manifest
    assert kept.signed_by in TRUSTED


def test_admitting_twice_copies_once_and_repairs(store: ModelStore, tmp_path: Path) -> None:
    """A whole copy is used as it is, a damaged one is replaced."""
    offer = read_offer(write_model(tmp_path / "offered"))
    kept = store.admit(offer).directory / "model.onnx"
    inode = kept.stat().st_ino
    store.admit(offer)
    assert kept.stat().st_ino == inode
    kept.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"model\.onnx is not"):
        store.open(offer.name)
    store.admit(offer)
    assert kept.read_bytes() == network()


def test_a_damaged_copy_cannot_repair_itself(store: ModelStore, tmp_path: Path) -> None:
    """Offering the store's own damaged folder is refused."""
    kept = store.admit(read_offer(write_model(tmp_path / "offered")))
    (kept.directory / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"model\.onnx is not"):
        store.admit(read_offer(kept.directory))


def test_without_trusted_keys_nothing_is_asked(tmp_path: Path) -> None:
    """An owner who trusts the own disk needs no signature; who asks for one gets none in silence."""
    folder = write_model(tmp_path / "offered", key=None)
    open_store = ModelStore(tmp_path / "models", None)
    assert open_store.admit(read_offer(folder)).signed_by == ""
    with pytest.raises(SignatureError, match="not signed"):
        ModelStore(tmp_path / "others", TRUSTED).admit(read_offer(folder))


def test_a_manifest_that_gives_one_file_two_digests_is_refused(store: ModelStore, tmp_path: Path) -> None:
    """One file cannot be two artifacts."""
    folder = write_model(tmp_path / "offered")
    described = load_manifest(folder)
    artifacts = {**described.artifacts, "fp16": Artifact(file="model.onnx", sha256="00" * 32)}
    write_manifest(folder, msgspec.structs.replace(described, artifacts=artifacts))
    with pytest.raises(ManifestError, match=r"model\.onnx twice"):
        store.admit(read_offer(folder))


def test_a_model_that_was_signed_anew_is_kept_with_its_new_signature(
    store: ModelStore, tmp_path: Path
) -> None:
    """After a change of keys the next boot trusts only the new key, and the kept model must open with it."""
    folder = write_model(tmp_path / "offered")
    store.admit(read_offer(folder))
    new = generate_key()
    sign_manifest(folder, new.private_pem)
    changed = ModelStore(tmp_path / "models", {key_id(new.public): new.public})
    kept = changed.admit(read_offer(folder))
    assert changed.open(kept.name).signed_by == key_id(new.public)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_a_kept_manifest_that_was_damaged_is_replaced(store: ModelStore, tmp_path: Path, name: str) -> None:
    """What activation reports as kept must open at the next boot."""
    offer = read_offer(write_model(tmp_path / "offered"))
    (store.admit(offer).directory / name).write_bytes(b"{}")
    assert store.open(store.admit(offer).name).name == offer.name


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_a_pipe_in_the_place_of_a_small_file_does_not_hang(
    store: ModelStore, tmp_path: Path, name: str
) -> None:
    """A manifest that nobody writes is none."""
    folder = write_model(tmp_path / "offered")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=r"no regular file|not signed"):
        store.admit(read_offer(folder))


def test_a_pipe_in_the_place_of_a_file_does_not_hang(store: ModelStore, tmp_path: Path) -> None:
    """What is no file is missing."""
    folder = write_model(tmp_path / "offered")
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(ModelError, match=r"model\.onnx is missing"):
        store.admit(read_offer(folder))


def test_a_model_is_named_after_its_manifest(store: ModelStore, tmp_path: Path) -> None:
    """Thresholds and golden frames are part of what a model is."""
    folder = write_model(tmp_path / "offered")
    kept = store.admit(read_offer(folder))
    assert kept.name == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    other = write_model(tmp_path / "other", latency_budget_ms=5.0)
    assert store.admit(read_offer(other)).name != kept.name
    store.clean({kept.name})
    assert [path.name for path in (tmp_path / "models").iterdir()] == [kept.name]
