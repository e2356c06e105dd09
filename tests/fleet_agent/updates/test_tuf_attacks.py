"""Who stands between repository and cart, or stole a key, gets no model onto a cart."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import MetaFile, TargetFile

from fleet_agent.clock_simulated import SimulatedClock
from fleet_agent.errors import RepositoryRefusedError, RepositoryUnreachableError
from fleet_control.registry.ceremony import rotate
from fleet_control.registry.keys import KeyRing
from fleet_control.rollouts.ports import PublishedModel
from tests.repositories import Cart, WebServer, World, write_model

DAY_S = 86_400.0
TIMESTAMP = "/metadata/timestamp.json"
MakeCart = Callable[..., Cart]


def refused(cart: Cart, model: PublishedModel, why: str) -> None:
    """Fetching is refused for a reason, and nothing lies there that could be taken for the model."""
    with pytest.raises(RepositoryRefusedError, match=why):
        cart.fetch(model)
    assert not cart.has(model)


def target_file(world: World, model: PublishedModel, name: str) -> Path:
    """Return where a file of a model lies in the repository."""
    return next((world.storage.folder / "targets" / "models" / model.digest).glob(f"*.{name}"))


def test_a_model_that_nobody_signed_is_refused(world: World, web: WebServer, cart: Cart) -> None:
    """Arbitrary file: an attacker puts a whole model onto the server, and signs nothing."""
    assert web.url
    known = world.publish(1)
    folder = world.storage.folder / "targets" / "models"
    shutil.copytree(folder / known.digest, folder / ("0" * 16))

    refused(cart, PublishedModel("0" * 16, "evil", "1", known.manifest, 1, 0), "has no manifest.json")


def test_a_file_that_was_swapped_is_refused(world: World, cart: Cart) -> None:
    """Arbitrary file: the network of a model is another one, of the same length."""
    model = world.publish(1)
    path = target_file(world, model, "model.onnx")
    path.write_bytes(bytes(path.stat().st_size))

    refused(cart, model, "not what was signed")


@pytest.mark.parametrize("change_bytes", [-1, 1])
def test_a_file_of_another_length_is_refused_before_it_is_downloaded(
    world: World, web: WebServer, cart: Cart, change_bytes: int
) -> None:
    """Wrong length: the server says so itself, and the cart does not ask further."""
    model = world.publish(1)
    path = target_file(world, model, "model.onnx")
    path.write_bytes(bytes(path.stat().st_size + change_bytes))

    refused(cart, model, "another length")
    assert cart.progress[-1][0] < 50_000
    assert web.requests[-1][0].endswith("model.onnx")


@pytest.mark.parametrize("path", ["timestamp.json", "model.onnx", "manifest.json"])
def test_data_without_end_is_refused(world: World, web: WebServer, cart: Cart, path: str) -> None:
    """Endless data: the cart reads as much as was signed, or as such a file may have, and no more."""
    model = world.publish(1)
    web.endless = (path,)

    refused(cart, model, "another length")
    kept = sum(file.stat().st_size for file in cart.folder.rglob("*") if file.is_file())
    assert kept < 400_000


def test_an_older_timestamp_is_refused(world: World, web: WebServer, cart: Cart) -> None:
    """Rollback: yesterday's timestamp has not expired, and the cart has seen today's."""
    web.replaced[TIMESTAMP] = world.metadata("timestamp.json")
    model = world.publish(1)
    old = web.replaced.pop(TIMESTAMP)
    cart.fetch(model)
    newer = world.publish(2)
    web.replaced[TIMESTAMP] = old

    refused(cart, newer, "must be >=|version")


def test_an_older_timestamp_is_refused_though_the_cache_is_gone(
    world: World, web: WebServer, cart: Cart
) -> None:
    """Rollback: the attacker cut the cart's power until its cache of metadata was spoilt."""
    old = world.metadata("timestamp.json")
    cart.fetch(world.publish(1))
    newer = world.publish(2)
    web.replaced[TIMESTAMP] = old
    shutil.rmtree(cart.folder / "repository" / "metadata")

    refused(cart, newer, "was seen before")
    web.replaced.clear()
    assert cart.fetch(newer).name == newer.manifest


def test_an_older_snapshot_is_refused(world: World, web: WebServer, cart: Cart) -> None:
    """Rollback: a stolen timestamp key signs a newer timestamp that names the snapshot before."""
    before = MetaFile(2)
    model = world.publish(1)
    newer = world.publish(2)
    cart.fetch(model)

    def edit(timestamp: Any) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta = before

    web.replaced[TIMESTAMP] = world.forged("timestamp.json", edit)

    refused(cart, newer, "snapshot version")


def test_older_targets_are_refused(world: World, web: WebServer, cart: Cart) -> None:
    """Rollback: stolen timestamp and snapshot keys hide the newest list of models."""
    cart.fetch(world.publish(1))
    newer = world.publish(2)
    cart.repository.fetch(
        newer.digest,
        newer.manifest,
        cart.folder / "elsewhere",
        on_progress=lambda *_: None,
        stop=lambda: False,
    )

    def hide(snapshot: Any) -> None:
        snapshot.version += 1
        snapshot.meta["targets.json"] = MetaFile(2)

    snapshot = world.forged("3.snapshot.json", hide)

    def point(timestamp: Any) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta = MetaFile(4)

    web.replaced["/metadata/4.snapshot.json"] = snapshot
    web.replaced[TIMESTAMP] = world.forged("timestamp.json", point)

    refused(cart, newer, "targets.json version")


def test_a_frozen_repository_is_refused_when_its_timestamp_expires(world: World, cart: Cart) -> None:
    """Freeze: the attacker goes on serving what was newest some days ago."""
    model = world.publish(1)
    world.clock.sleep(1.1 * DAY_S)

    refused(cart, model, "timestamp.json is expired")


def test_turning_the_clock_back_does_not_unfreeze(world: World, make_cart: MakeCart) -> None:
    """Freeze: the cart has seen a later time with valid metadata, and its clock now says an earlier one."""
    first, start_ms = world.publish(1), world.clock.epoch_ms()
    frozen = world.folder / "frozen"
    shutil.copytree(world.storage.folder, frozen)
    cart = make_cart()
    cart.fetch(first)
    world.clock.sleep(1.5 * DAY_S)
    world.publisher.refresh()
    second = world.publish(2)
    cart.fetch(second)
    cart.repository.close()
    shutil.rmtree(cart.folder / "repository" / "metadata")
    with WebServer(frozen).running() as web:
        back = Cart(world, web.url, clock=SimulatedClock(epoch_ms=start_ms))
        shutil.rmtree(cart.folder / "downloads")

        refused(back, first, "expired")
        back.repository.close()


def test_a_clock_far_ahead_does_no_lasting_harm(world: World, make_cart: MakeCart) -> None:
    """A cart that believes it is 2106 refuses all, and fetches again when its clock is set."""
    model = world.publish(1)
    ahead = make_cart(clock=SimulatedClock(epoch_ms=4_294_967_295_000))
    refused(ahead, model, "expired")
    ahead.repository.close()

    assert make_cart().fetch(model).name == model.manifest


@pytest.mark.parametrize("epoch_ms", [0, -62_135_596_800_000, 10**18])
def test_no_clock_is_too_absurd(world: World, make_cart: MakeCart, epoch_ms: int) -> None:
    """The year 1, 1970 and the year 31 million end in a model or a refusal, and nothing else."""
    model = world.publish(1)
    cart = make_cart(clock=SimulatedClock(epoch_ms=epoch_ms))
    if epoch_ms > 0:
        refused(cart, model, "expired")
    else:
        assert cart.fetch(model).name == model.manifest


def test_parts_of_different_states_are_refused(world: World, web: WebServer, cart: Cart) -> None:
    """Mix and match: the newest timestamp with the snapshot before, under the newer's name."""
    world.publish(1)
    before = world.metadata("2.snapshot.json")
    model = world.publish(2)
    web.replaced["/metadata/3.snapshot.json"] = before

    refused(cart, model, "not believed")


def test_another_repository_is_refused(world: World, tmp_path: Path) -> None:
    """Wrong keys: the attacker runs a repository of his own, in good order."""
    other = World(tmp_path / "other")
    model = other.publish(1)
    with WebServer(other.storage.folder).running() as web:
        cart = Cart(world, web.url)

        refused(cart, model, "signed by 0/1")
        cart.repository.close()


def test_a_root_that_expired_is_refused(world: World, cart: Cart) -> None:
    """The root was not renewed for a year: its keys may be anybody's by now."""
    model = world.publish(1)
    world.clock.sleep(366 * DAY_S)
    world.publisher.refresh(force=True)

    refused(cart, model, "root.json is expired")


@pytest.mark.parametrize(("role", "at"), [("root", "1.root.json"), ("targets", "2.targets.json")])
def test_too_few_signatures_are_refused(tmp_path: Path, role: str, at: str) -> None:
    """Threshold: two of three must sign, and a thief has one key."""
    world = World(tmp_path, root=(3, 2), targets=(3, 2))
    model = world.publish(1)
    one = next((tmp_path / "keys" / role).glob("*.pem"))
    (tmp_path / "stolen" / role).mkdir(parents=True)
    shutil.copy(one, tmp_path / "stolen" / role)

    def edit(signed: Any) -> None:
        signed.version += role == "root"

    forged = world.forged(at, edit, keys=KeyRing([tmp_path / "stolen"]))
    with WebServer(world.storage.folder).running() as web:
        web.replaced[f"/metadata/{'2.root.json' if role == 'root' else at}"] = forged
        if role == "targets":  # he has the online keys too
            web.replaced |= forge_chain(world, forged)
        cart = Cart(world, web.url)

        refused(cart, model, "signed by 1/2")
        cart.repository.close()


def forge_chain(world: World, targets: bytes) -> dict[str, bytes]:
    """Return a snapshot and a timestamp, signed with the online keys, that lead to other targets."""

    def point_snapshot(snapshot: Any) -> None:
        snapshot.meta["targets.json"] = MetaFile.from_data(2, targets, ["sha256"])

    snapshot = world.forged("2.snapshot.json", point_snapshot)

    def point_timestamp(timestamp: Any) -> None:
        timestamp.snapshot_meta = MetaFile.from_data(2, snapshot, ["sha256"])

    return {
        "/metadata/2.snapshot.json": snapshot,
        TIMESTAMP: world.forged("timestamp.json", point_timestamp),
        "/metadata/2.targets.json": targets,
    }


def test_after_a_fast_forward_carts_come_back_by_new_keys(world: World, web: WebServer, cart: Cart) -> None:
    """A thief of the online keys signed version two billion, so that carts would refuse all honest ones."""
    model = world.publish(1)

    def forward(signed: Any) -> None:
        signed.version = 2**31

    snapshot = world.forged("2.snapshot.json", forward)

    def point(timestamp: Any) -> None:
        timestamp.version = 2**31
        timestamp.snapshot_meta = MetaFile(2**31)

    web.replaced[f"/metadata/{2**31}.snapshot.json"] = snapshot
    web.replaced[TIMESTAMP] = world.forged("timestamp.json", point)
    cart.fetch(model)
    web.replaced.clear()
    newer = world.publish(2)
    refused(cart, newer, "version")

    rotate(world.storage, world.keys, ["snapshot", "timestamp"], now=world.now)

    assert cart.fetch(newer).name == newer.manifest


def test_another_manifest_than_the_cloud_asked_for_is_refused(world: World, cart: Cart) -> None:
    """The repository is in order, and what the rollout wants is not what it has under this digest."""
    model = world.publish(1)

    refused(cart, PublishedModel(model.digest, "m", "1", "0" * 64, 1, 0), "another than was asked for")


@pytest.mark.parametrize("name", ["../../../evil", "/etc/evil", "golden/../../evil", "..", ""])
def test_names_that_lead_out_are_refused(world: World, web: WebServer, cart: Cart, name: str) -> None:
    """A thief of all publishing keys lists a file outside the model's folder."""
    model = world.publish(1)
    document = (
        target_file(world, model, "manifest.json").read_bytes().replace(b'"model.onnx"', f'"{name}"'.encode())
    )
    evil = TargetFile.from_data(f"models/{model.digest}/manifest.json", document, ["sha256"])

    def edit(targets: Any) -> None:
        targets.targets[evil.path] = evil
        escaping = TargetFile.from_data(f"models/{model.digest}/{name}", b"evil", ["sha256"])
        targets.targets[escaping.path] = escaping

    web.replaced |= forge_chain(world, world.forged("2.targets.json", edit))
    path = f"/targets/models/{model.digest}/{evil.hashes['sha256']}.manifest.json"
    web.replaced[path] = document
    wanted = PublishedModel(model.digest, "m", "1", evil.hashes["sha256"], 1, 0)

    refused(cart, wanted, "not believed")
    assert not any("evil" in path for path, _ in web.requests)


@pytest.mark.parametrize(
    "lengths", [{"model.onnx": 10**10}, {"model.onnx": 3 * 10**9, "golden/front.jpg": 3 * 10**9}]
)
def test_a_model_larger_than_any_is_refused_unseen(
    world: World, web: WebServer, cart: Cart, lengths: dict[str, int]
) -> None:
    """A thief of all publishing keys would fill the disk, with one file or with all together."""
    model = world.publish(1)

    def edit(targets: Any) -> None:
        for name, length in lengths.items():
            targets.targets[f"models/{model.digest}/{name}"].length = length

    web.replaced |= forge_chain(world, world.forged("2.targets.json", edit))

    refused(cart, model, "are more than")
    assert not any(path.endswith(".onnx") for path, _ in web.requests)


def test_a_server_that_only_answers_errors_is_no_attack(world: World, web: WebServer, cart: Cart) -> None:
    """Files that do not come may come later: that is no refusal, which would end the update."""
    model = world.publish(1)
    target_file(world, model, "model.onnx").unlink()

    with pytest.raises(RepositoryUnreachableError, match="404"):
        cart.fetch(model)
    assert web.requests
    assert not cart.has(model)


def test_a_cart_follows_a_long_chain_of_roots(world: World, cart: Cart) -> None:
    """A cart that slept through four changes of all keys comes back, with the root it was born with."""
    for _ in range(4):
        rotate(world.storage, world.keys, ["root", "targets", "snapshot", "timestamp"], now=world.now)
        world.clock.sleep(timedelta(days=30).total_seconds())
    model = world.publish(1)

    assert cart.fetch(model).name == model.manifest
    assert [path.name for path in sorted((world.storage.folder / "metadata").glob("*.root.json"))] == [
        f"{version}.root.json" for version in range(1, 6)
    ]


def test_who_kept_the_old_keys_is_refused_after_a_rotation(world: World, web: WebServer, cart: Cart) -> None:
    """Keys that were stolen before they were rotated sign nothing that a cart believes."""
    cart.fetch(world.publish(1))
    shutil.copytree(world.folder / "keys", world.folder / "stolen")
    rotate(world.storage, world.keys, ["targets", "snapshot", "timestamp"], now=world.now)
    model = world.publish(2)

    def edit(timestamp: Any) -> None:
        timestamp.version += 1

    stolen = KeyRing([world.folder / "stolen"])
    web.replaced[TIMESTAMP] = world.forged("timestamp.json", edit, keys=stolen)

    refused(cart, model, "signed by 0/1")


def test_a_rollback_is_a_step_forward(world: World, cart: Cart) -> None:
    """New metadata that names the old model is believed; that is how operators go back."""
    old = write_model(world.folder / "old", 7)
    first = world.publish(1)
    cart.fetch(first)
    cart.fetch(world.publish(2))
    shutil.rmtree(cart.folder / "downloads")
    world.clock.sleep(1.0)

    again = world.publisher.republish(first.digest)

    assert old.exists()
    assert again.published_ms == first.published_ms + 1000
    assert world.publisher.models()[0].digest == first.digest
    assert cart.fetch(again).name == first.manifest
