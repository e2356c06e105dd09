"""Publishing, retiring and keeping a repository fresh, with keys that nobody else may read."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, MetaFile

from fleet_control.errors import RegistryError
from fleet_control.registry import signed
from fleet_control.registry.ceremony import KeyCount, initialise, rotate
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import read_model
from fleet_control.registry.passphrases import (
    ONLINE_PASSPHRASE_ENV,
    PASSPHRASE_ENV,
    Passphrases,
    read_passphrases,
)
from fleet_control.registry.pins import Pins
from fleet_control.registry.publisher import KEPT_VERSIONS, Publisher
from fleet_control.registry.settings import ROLES, RegistrySettings
from fleet_control.registry.signed import SignedMetadata
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts.ports import PublishedModel
from tests.repositories import World, write_model

DAY_S = 86_400.0


def versions(world: World) -> dict[str, int]:
    """Return the version of each role."""
    return {expiry.role: expiry.version for expiry in world.publisher.expiries()}


def test_what_is_published_is_listed_newest_first(world: World) -> None:
    """Name, version, manifest and size are those of the folder."""
    first = world.publish(1)
    world.clock.sleep(60.0)
    second = world.publish(2)

    assert world.publisher.models() == (second, first)
    assert first.version == "noise-1"
    assert first.size_bytes == sum(file.size_bytes for file in read_model(world.folder / "model-1").files)


@pytest.mark.parametrize("file", ["model.onnx", "golden/front.jpg", "manifest.json"])
def test_a_folder_whose_files_are_not_the_manifests_is_not_published(world: World, file: str) -> None:
    """One changed byte or one missing file: nothing is signed."""
    before = versions(world)
    folder = write_model(world.folder / "new", 1)
    (folder / file).write_bytes(b"other")
    with pytest.raises(RegistryError, match=file.split(".", maxsplit=1)[0]):
        read_model(folder)
    (folder / file).unlink()
    with pytest.raises(RegistryError, match=file.split(".", maxsplit=1)[0]):
        read_model(folder)

    assert versions(world) == before


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "", "a/b", "manifest.json", "x\n"])
def test_a_manifest_with_names_that_lead_out_is_not_published(world: World, name: str) -> None:
    """The names become paths of the repository and of carts."""
    folder = write_model(world.folder / "new", 1)
    document = json.loads((folder / "manifest.json").read_bytes())
    document["artifacts"]["fp32"]["file"] = name
    (folder / "manifest.json").write_text(json.dumps(document))

    with pytest.raises(RegistryError, match=r"manifest\.json"):
        read_model(folder)


def test_a_file_that_changes_while_it_is_published_is_not_named(world: World) -> None:
    """What is signed is what was copied."""
    folder = write_model(world.folder / "new", 1)
    model = read_model(folder)
    (folder / "model.onnx").write_bytes(bytes((folder / "model.onnx").stat().st_size))

    with pytest.raises(RegistryError, match="was changed while"):
        world.publisher.publish(model)
    assert world.publisher.models() == ()


def test_a_list_that_carts_would_not_read_is_not_signed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told what helps, carts go on with the list that is there, and retiring is possible."""
    first, before = world.publish(1), versions(world)
    monkeypatch.setattr(
        signed, "MAX_METADATA_BYTES", len(world.metadata("2.targets.json")) + signed.SIGNATURES_BYTES
    )

    files = world.storage.names("targets")
    with pytest.raises(RegistryError, match="retire models"):
        world.publish(2)

    assert versions(world) == before
    assert world.storage.names("targets") == files
    world.publisher.retire(first.digest)
    assert world.publish(3) in world.publisher.models()


def test_two_manifests_of_one_digest_are_not_published(world: World) -> None:
    """Telemetry has the digest only, so it could not tell them apart."""
    world.publish(1)
    document = json.loads((world.folder / "model-1" / "manifest.json").read_bytes())
    (world.folder / "model-1" / "manifest.json").write_text(json.dumps(document | {"version": "other"}))

    with pytest.raises(RegistryError, match="another manifest"):
        world.publisher.publish(read_model(world.folder / "model-1"))


def test_publishing_again_takes_a_new_signature(world: World) -> None:
    """A model that was signed anew keeps its digest and its manifest."""
    world.publish(1)
    (world.folder / "model-1" / "manifest.sig").write_bytes(b"new")
    world.publisher.publish(read_model(world.folder / "model-1"))

    names = [name for name in world.storage.names("targets") if name.endswith("manifest.sig")]
    assert [world.storage.read(name) for name in names] == [b"new"]


@pytest.mark.parametrize("gone", [True, False])
def test_a_damaged_file_is_put_right_by_publishing_again(world: World, *, gone: bool) -> None:
    """Of the same size or away: republishing, which has no other copy, says so and signs nothing."""
    model, before = world.publish(1), versions(world)
    path = next((world.storage.folder / "targets").rglob("*.model.onnx"))
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    if gone:
        path.unlink()
    with pytest.raises(RegistryError, match=r"model\.onnx is damaged or gone"):
        world.publisher.republish(model.digest)
    assert versions(world) == before

    world.publisher.publish(read_model(world.folder / "model-1"))

    assert path.read_bytes() == whole
    assert world.publisher.republish(model.digest).digest == model.digest


def test_only_what_publishers_wrote_is_swept(world: World) -> None:
    """Files of a model that is gone are deleted; what somebody else put below targets is not."""
    model, foreign = world.publish(1), ("targets/README", "targets/keys/root/a.pem", "targets/models/a/b.pem")
    for name in foreign:
        world.storage.write(name, b"mine")

    world.publisher.retire(model.digest)

    assert world.storage.names("targets") == foreign


def test_a_pinned_model_is_not_retired(world: World) -> None:
    """Carts may have to go back to it; it goes when the last holder lets go."""
    model, pins = world.publish(1), Pins(world.storage)
    pins.pin("fleet", [model.digest])
    pins.pin("rollout-7", [model.digest])
    with pytest.raises(RegistryError, match="fleet, rollout-7"):
        world.publisher.retire(model.digest)
    pins.unpin("fleet")
    with pytest.raises(RegistryError, match="rollout-7"):
        world.publisher.retire(model.digest)
    pins.pin("rollout-7", ["0" * 16])
    assert world.publisher.models() == (model,)

    world.publisher.retire(model.digest)

    assert world.publisher.models() == ()
    assert world.storage.names("targets") == ()


class BusyStorage(FolderStorage):
    """A repository that another publisher works on, and whose pins change in the meantime."""

    wanted: tuple[PublishedModel, ...] = ()

    @contextmanager
    def lock(self, name: str, timeout_s: float) -> Iterator[None]:
        """Wait for the other publisher."""
        if name == "publish":
            Pins(FolderStorage(self.folder)).pin("fleet", [model.digest for model in self.wanted])
        with super().lock(name, timeout_s):
            yield


def test_who_pins_does_not_wait_for_a_retirement(world: World) -> None:
    """A rollout pins the model while retiring waits for another publisher: it is heard."""
    model, storage = world.publish(1), BusyStorage(world.storage.folder)
    storage.wanted = (model,)

    with pytest.raises(RegistryError, match="needed by fleet"):
        Publisher(storage, world.keys, world.now).retire(model.digest)

    assert world.publisher.models() == (model,)


def test_pins_that_cannot_be_read_keep_everything(world: World) -> None:
    """A damaged file must not read as: nothing is pinned."""
    model = world.publish(1)
    world.storage.write("pins.json", b"{")

    with pytest.raises(RegistryError, match="nothing may be retired"):
        world.publisher.retire(model.digest)
    with pytest.raises(RegistryError):
        Pins(world.storage).pin("fleet", ["no digest"])


def test_what_is_not_there_is_neither_retired_nor_republished(world: World) -> None:
    """A typing error is told, and signs nothing."""
    before = versions(world)
    with pytest.raises(RegistryError, match="no model"):
        world.publisher.retire("0" * 16)
    with pytest.raises(RegistryError, match="no model"):
        world.publisher.republish("0" * 16)

    assert versions(world) == before


def test_refreshing_renews_what_has_less_than_half_its_life(world: World) -> None:
    """A controller may call each minute: a timestamp of a day is renewed twice a day, a snapshot weekly."""
    seen = []
    for _ in range(8 * 24):
        world.clock.sleep(3600.0)
        world.publisher.refresh()
        seen.append(versions(world))

    assert seen[11] == {"root": 1, "targets": 1, "snapshot": 1, "timestamp": 1}
    assert seen[12]["timestamp"] == 2
    assert seen[-1]["timestamp"] in range(13, 17)
    assert seen[-1]["snapshot"] == 3
    assert all(expiry.expires > world.now() for expiry in world.publisher.expiries())


def test_refreshing_needs_the_online_keys_only(world: World) -> None:
    """The machine that refreshes holds nothing that could sign a model."""
    world.publish(1)
    online = world.folder / "online"
    shutil.copytree(world.folder / "keys", online)
    shutil.rmtree(online / "root")
    shutil.rmtree(online / "targets")
    publisher = Publisher(world.storage, KeyRing([online]), world.now)
    before = versions(world)

    publisher.refresh(force=True)

    assert versions(world)["timestamp"] == before["timestamp"] + 1
    with pytest.raises(RegistryError, match="too few keys of targets"):
        publisher.republish(publisher.models()[0].digest)


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
@pytest.mark.parametrize("action", ["publish", "republish", "retire", "refresh"])
def test_nothing_is_written_where_a_key_is_missing(world: World, role: str, action: str) -> None:
    """Of any role that signs: it would be found only when the others have signed."""
    model, folder = world.publish(1), write_model(world.folder / "new", 2)
    shutil.move(world.folder / "keys" / role, world.folder / "stick")
    before = {name: world.storage.sha256(name) for name in world.storage.names("metadata")}
    files = world.storage.names("targets")
    actions: dict[str, Callable[[], object]] = {
        "publish": lambda: world.publisher.publish(read_model(folder)),
        "republish": lambda: world.publisher.republish(model.digest),
        "retire": lambda: world.publisher.retire(model.digest),
        "refresh": lambda: world.publisher.refresh(force=True),
    }

    if (role, action) == ("targets", "refresh"):
        actions[action]()
        return
    with pytest.raises(RegistryError, match=f"too few keys of {role}"):
        actions[action]()

    assert {name: world.storage.sha256(name) for name in world.storage.names("metadata")} == before
    assert world.storage.names("targets") == files


def test_old_versions_are_pruned_and_roots_are_not(world: World) -> None:
    """A cart that was off for years needs each root, and no list of last year."""
    rotate(world.storage, world.keys, ["root"], now=world.now)
    for _ in range(KEPT_VERSIONS + 5):
        world.publisher.refresh(force=True)
    names = world.storage.names("metadata")

    assert len([name for name in names if "snapshot" in name]) == KEPT_VERSIONS
    assert {"metadata/1.root.json", "metadata/2.root.json", "metadata/1.targets.json"} <= set(names)


def test_a_repository_that_others_changed_is_not_published_to(world: World) -> None:
    """A publisher signs what it adds to; so it believes only what is signed."""
    world.publish(1)
    edited: Metadata[Any] = Metadata.from_bytes(world.metadata("2.targets.json"))
    edited.signed.targets.popitem()
    world.storage.write("metadata/2.targets.json", edited.to_bytes())

    with pytest.raises(RegistryError):
        world.publish(2)


def test_keys_of_another_repository_are_not_used(world: World, tmp_path: Path) -> None:
    """The folder of the repository was exchanged for that of somebody else, who trusts our key."""
    other = World(tmp_path / "other")

    with pytest.raises(RegistryError, match="another repository"):
        Publisher(other.storage, world.keys, world.now).models()


def test_a_rotation_is_seamless_at_each_step(world: World) -> None:
    """Before the new root is read and after it, all that is live is signed as that root wants it."""
    world.publish(1)
    rotate(world.storage, world.keys, ["targets", "snapshot", "timestamp"], now=world.now)
    roots = [Metadata.from_bytes(world.metadata(f"{version}.root.json")).signed for version in (1, 2)]

    for role, name in (
        ("targets", "3.targets.json"),
        ("snapshot", "3.snapshot.json"),
        ("timestamp", "timestamp.json"),
    ):
        md: Metadata[Any] = Metadata.from_bytes(world.metadata(name))
        for root in roots:
            root.verify_delegate(role, md.signed_bytes, md.signatures)


def test_a_root_is_renewed_with_the_keys_that_it_has(world: World) -> None:
    """Once a year, and carts need not learn new keys for it."""
    world.clock.sleep(300 * DAY_S)

    assert rotate(world.storage, world.keys, (), now=world.now) == 2

    first, second = (Metadata.from_bytes(world.metadata(f"{n}.root.json")).signed for n in (1, 2))
    assert second.expires - first.expires == timedelta(days=300)
    assert second.keys == first.keys


def test_lost_keys_are_replaced_by_the_root(world: World) -> None:
    """The disk with the targets key died; without `lost` that is refused, as it cannot be seamless."""
    model = world.publish(1)
    shutil.rmtree(world.folder / "keys" / "targets")
    with pytest.raises(RegistryError, match="too few keys of targets"):
        rotate(world.storage, world.keys, ["targets"], now=world.now)

    rotate(world.storage, world.keys, ["targets"], lost=True, now=world.now)

    assert world.publisher.republish(model.digest).digest == model.digest


def test_a_root_key_alone_rotates_nothing_where_two_must_sign(tmp_path: Path) -> None:
    """Two of three: with two sticks it goes, with one it does not."""
    world = World(tmp_path, root=(3, 2))
    sticks = []
    for number, path in enumerate(sorted((tmp_path / "keys" / "root").iterdir())):
        stick = tmp_path / f"stick-{number}"
        (stick / "root").mkdir(parents=True)
        path.rename(stick / "root" / path.name)
        sticks.append(stick)
    with pytest.raises(RegistryError, match="too few keys of root"):
        rotate(world.storage, KeyRing([tmp_path / "keys", sticks[0]]), ["root"], now=world.now)

    ring = KeyRing([tmp_path / "keys", *sticks[1:]])
    assert rotate(world.storage, ring, ["root"], key_count=5, threshold=3, now=world.now) == 2
    md: Metadata[Any] = Metadata.from_bytes(world.metadata("2.root.json"))
    assert md.signed.roles["root"].threshold == 3
    assert len(md.signed.roles["root"].keyids) == 5


def test_a_million_keys_are_refused() -> None:
    """A typing error, which would fill the disk."""
    with pytest.raises(RegistryError, match="more than 64"):
        KeyCount(1_000_000, 1)


@pytest.mark.parametrize(("keys", "threshold"), [(1, 2), (0, 0), (2, 0)])
def test_a_threshold_that_cannot_be_met_is_refused(keys: int, threshold: int) -> None:
    """Nobody should find out at the first rotation."""
    with pytest.raises(RegistryError, match="cannot sign"):
        KeyCount(keys, threshold)


def test_private_keys_are_for_their_owner_only(world: World) -> None:
    """Modes are 0600 and 0700, and a key that others may read is not used."""
    pems = sorted((world.folder / "keys").rglob("*.pem"))
    assert {path.stat().st_mode & 0o777 for path in pems} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in pems} == {0o700}
    pems[0].chmod(0o640)

    with pytest.raises(RegistryError, match="read by others"):
        KeyRing([world.folder / "keys"]).signers(next(role for role in ROLES if role == pems[0].parent.name))


def test_passphrases_encrypt_keys_and_are_never_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Offline and online keys have passphrases of their own; neither shows in an error or a log."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "online.txt").write_text("on-secret\n")
    environment = {
        PASSPHRASE_ENV: "off-secret",
        f"{ONLINE_PASSPHRASE_ENV}_FILE": str(tmp_path / "online.txt"),
    }
    passphrases = read_passphrases(environment)
    storage, ring = FolderStorage(tmp_path / "repository"), KeyRing([tmp_path / "keys"], passphrases)
    one = dict.fromkeys(ROLES, KeyCount(1, 1))
    initialise(storage, ring, counts=one, settings=RegistrySettings())
    assert all(b"ENCRYPTED" in path.read_bytes() for path in (tmp_path / "keys").rglob("*.pem"))

    assert Publisher(storage, ring).models() == ()
    online = KeyRing([tmp_path / "keys"], Passphrases(online=b"on-secret"))
    Publisher(storage, online).refresh(force=True)
    with pytest.raises(RegistryError, match=PASSPHRASE_ENV):
        rotate(storage, online, ["root"])
    wrong = KeyRing([tmp_path / "keys"], Passphrases(b"on-secret", b"off-secret"))
    with pytest.raises(RegistryError) as raised:
        Publisher(storage, wrong).refresh(force=True)

    said = f"{raised.value} {raised.value.__cause__} {passphrases!r} {caplog.text}"
    assert "secret" not in said
    with pytest.raises(RegistryError, match="empty"):
        read_passphrases({PASSPHRASE_ENV: ""})


def test_a_repository_is_begun_once(world: World) -> None:
    """Neither its keys nor its metadata are overwritten by a second init."""
    before = world.metadata("1.root.json")
    counts = dict.fromkeys(ROLES, KeyCount(1, 1))
    for storage, keys in (
        (world.storage, KeyRing([world.folder / "new-keys"])),
        (FolderStorage(world.folder / "new"), world.keys),
    ):
        with pytest.raises(RegistryError, match="already"):
            initialise(storage, keys, counts=counts, settings=RegistrySettings())

    assert world.metadata("1.root.json") == before


def test_two_publishers_do_not_work_at_once(world: World) -> None:
    """The second waits and then says who is in its way."""
    with (
        world.storage.lock("publish", 0.0),
        pytest.raises(RegistryError, match="another process"),
        world.storage.lock("publish", 0.1),
    ):
        pass
    assert world.publish(1) in world.publisher.models()


@pytest.mark.parametrize("name", ["../x", "a//b", "", "/etc/passwd", "a/../b"])
def test_storage_keeps_to_its_folder(world: World, name: str) -> None:
    """Whatever calls it."""
    with pytest.raises(RegistryError, match="no name"):
        world.storage.write(name, b"")


def test_settings_say_how_long_metadata_holds(tmp_path: Path) -> None:
    """They lie with the keys, not in the repository, which others may write to."""
    storage, keys = FolderStorage(tmp_path / "repository"), KeyRing([tmp_path / "keys"])
    settings = RegistrySettings(timestamp_days=0.5, snapshot_days=2.0)
    initialise(storage, keys, counts=dict.fromkeys(ROLES, KeyCount(1, 1)), settings=settings)
    assert KeyRing([tmp_path / "keys"]).settings() == settings
    (tmp_path / "keys" / "settings.json").write_text('{"timestamp_days": -1}')

    with pytest.raises(RegistryError, match="timestamp_days"):
        SignedMetadata(storage, keys)


def test_a_snapshot_names_the_targets_by_their_hash(world: World) -> None:
    """So a publisher that was killed and a later one cannot both be version 2."""
    world.publish(1)
    md: Metadata[Any] = Metadata.from_bytes(world.metadata("2.snapshot.json"))
    expected = MetaFile.from_data(2, world.metadata("2.targets.json"), ["sha256"])

    assert md.signed.meta["targets.json"] == expected
