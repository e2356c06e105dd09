"""What somebody does who has the server, the line, or an old copy: all refused, and nothing installed."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fleet_agent.errors import RepositoryRefusedError, UpdateError
from fleet_agent.ports import SystemClock
from fleet_control.registry.keys import KeyFolder
from fleet_control.registry.models import IndexEntry
from fleet_control.registry.repository import ModelRepository
from tests.fleet_control.registry.conftest import MODELS, Opener, Server, Shop
from tests.fleet_control.registry.test_registry import fetch

Attack = Callable[[Shop, Server, IndexEntry, Path], None]


def target_of(shop: Shop, entry: IndexEntry, name: str) -> str:
    """Return the path under which a file of a model is served."""
    folder = shop.served / "targets" / "models" / entry.digest
    return str(next(folder.glob(f"*.{name}")).relative_to(shop.served))


def signed(shop: Shop, name: str) -> dict[str, object]:
    """Return metadata as it is served."""
    found: dict[str, object] = json.loads((shop.served / "metadata" / name).read_text())
    return found


def newest(shop: Shop, role: str) -> str:
    """Return the name of the newest metadata of a role."""
    paths = (shop.served / "metadata").glob(f"*.{role}.json")
    return max(paths, key=lambda path: int(path.name.split(".")[0])).name


def arbitrary_file(shop: Shop, server: Server, entry: IndexEntry, _: Path) -> None:
    """Another file in the place of the network."""
    path = target_of(shop, entry, "model.onnx")
    server.replaced[path] = bytes(len((shop.served / path).read_bytes()))


def longer_file(shop: Shop, server: Server, entry: IndexEntry, _: Path) -> None:
    """The right file, and more behind it."""
    path = target_of(shop, entry, "model.onnx")
    server.replaced[path] = (shop.served / path).read_bytes() + b"x"


def endless_file(shop: Shop, server: Server, entry: IndexEntry, _: Path) -> None:
    """A file that never ends."""
    server.endless = target_of(shop, entry, "model.onnx")


def endless_metadata(_: Shop, server: Server, __: IndexEntry, ___: Path) -> None:
    """Metadata that never ends."""
    server.endless = "timestamp.json"


def edited_targets(shop: Shop, server: Server, _: IndexEntry, __: Path) -> None:
    """Targets that somebody without a key has edited."""
    name = newest(shop, "targets")
    document = signed(shop, name)
    document["signed"]["targets"] = {}  # type: ignore[index]
    server.replaced[f"metadata/{name}"] = json.dumps(document).encode()


def no_signatures(shop: Shop, server: Server, _: IndexEntry, __: Path) -> None:
    """A timestamp without signatures."""
    document = signed(shop, "timestamp.json") | {"signatures": []}
    server.replaced["metadata/timestamp.json"] = json.dumps(document).encode()


def wrong_keys(shop: Shop, server: Server, _: IndexEntry, folder: Path) -> None:
    """A whole repository of somebody else, with keys of their own."""
    other = ModelRepository(folder / "other", KeyFolder(folder / "other-keys"))
    other.make()
    other.publish(MODELS / "v3-bad")
    for path in (folder / "other" / "metadata").iterdir():
        server.replaced[f"metadata/{path.name}"] = path.read_bytes()
    assert shop.served != folder / "other"


def new_root_of_a_stranger(shop: Shop, server: Server, entry: IndexEntry, folder: Path) -> None:
    """The next root, signed by a stranger's key alone."""
    wrong_keys(shop, server, entry, folder)
    server.replaced = {"metadata/2.root.json": server.replaced["metadata/1.root.json"]}


def mixed_up(shop: Shop, server: Server, _: IndexEntry, __: Path) -> None:
    """The snapshot of today names targets that are served from yesterday."""
    name = newest(shop, "targets")
    number = int(name.split(".")[0])
    server.replaced[f"metadata/{name}"] = (
        shop.served / "metadata" / f"{number - 1}.targets.json"
    ).read_bytes()


@pytest.mark.parametrize(
    "attack",
    [
        arbitrary_file,
        longer_file,
        endless_file,
        endless_metadata,
        edited_targets,
        no_signatures,
        wrong_keys,
        new_root_of_a_stranger,
        mixed_up,
    ],
)
def test_an_attack_is_refused_and_ends_with_it(
    attack: Attack, shop: Shop, server: Server, cart: Opener, tmp_path: Path
) -> None:
    """The cart says that it refuses, keeps no wrong file, and fetches as ever when the attack is over."""
    entry = shop.publish()
    attack(shop, server, entry, tmp_path)
    with pytest.raises(RepositoryRefusedError):
        fetch(cart(), entry, tmp_path / "new")
    assert not (tmp_path / "new" / "model.onnx").exists()
    server.replaced, server.endless = {}, ""
    fetch(cart(), entry, tmp_path / "new")


def test_an_older_repository_is_refused(shop: Shop, server: Server, cart: Opener, tmp_path: Path) -> None:
    """Rollback: whoever serves yesterday's metadata, correctly signed as it is, is refused."""
    old = shop.publish("v1")
    yesterday = tmp_path / "yesterday"
    shutil.copytree(shop.served, yesterday)
    new = shop.publish("v2")
    fetch(cart(), new, tmp_path / "new")
    server.root = yesterday
    with pytest.raises(RepositoryRefusedError):
        fetch(cart(), old, tmp_path / "old")


def test_a_repository_that_nobody_renews_is_refused(shop: Shop, cart: Opener, tmp_path: Path) -> None:
    """Freeze: metadata whose time is over is not taken, however well it is signed."""
    shop.late = -timedelta(days=30)
    entry = shop.publish()
    with pytest.raises(RepositoryRefusedError, match=r"[Ee]xpired"):
        fetch(cart(), entry, tmp_path / "new")
    shop.late = timedelta()
    shop.repository.refresh()
    fetch(cart(), entry, tmp_path / "new")


class SetBackClock(SystemClock):
    """A cart's clock without a battery."""

    behind_ms = 0

    def epoch_ms(self) -> int:
        """Return the time that the cart believes."""
        return super().epoch_ms() - self.behind_ms


def test_a_clock_that_is_set_back_does_not_revive_what_expired(
    shop: Shop, cart: Opener, tmp_path: Path
) -> None:
    """The newest time at which metadata was accepted is a floor, also after a restart."""
    clock = SetBackClock()
    clock.behind_ms = -2 * 86_400_000
    shop.late = timedelta(days=2)
    entry = shop.publish()
    fetch(cart(clock), entry, tmp_path / "new")
    # Two days ago by the cart's clock, and the timestamp was signed to last a day from then.
    clock.behind_ms = 0
    shop.late = timedelta(hours=1)
    shop.repository.refresh()
    with pytest.raises(RepositoryRefusedError, match="expired"):
        fetch(cart(clock), entry, tmp_path / "again")


def test_a_manifest_that_was_not_asked_for_is_refused(shop: Shop, cart: Opener, tmp_path: Path) -> None:
    """The order names the manifest by its digest: a repository cannot choose another one."""
    entry = shop.publish()
    with pytest.raises(RepositoryRefusedError, match="another manifest"):
        cart().fetch(
            entry.digest, "0" * 64, tmp_path / "new", on_progress=lambda _d, _o: None, stop=lambda: False
        )
    with pytest.raises(RepositoryRefusedError, match=r"no manifest\.json"):
        cart().fetch(
            "c" * 16, entry.manifest, tmp_path / "new", on_progress=lambda _d, _o: None, stop=lambda: False
        )


def test_damaged_metadata_on_the_cart_s_own_disk_is_fetched_anew(
    shop: Shop, cart: Opener, tmp_path: Path
) -> None:
    """A power cut at a bad moment costs a download, not the updates."""
    entry = shop.publish()
    fetch(cart(), entry, tmp_path / "new")
    for path in (tmp_path / "cart" / "repository" / "metadata").rglob("*.json"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"\x00" * 10)
    fetch(cart(), entry, tmp_path / "again")


def test_two_processes_do_not_share_a_folder(cart: Opener, tmp_path: Path, shop: Shop) -> None:
    """python-tuf is for one process per folder, so the second one is refused by name."""
    from fleet_agent.updates.repository import TufRepository

    cart()
    with pytest.raises(UpdateError, match="repository"):
        TufRepository(
            "http://127.0.0.1:1",
            root=shop.repository.root,
            folder=tmp_path / "cart" / "repository",
            bandwidth_kbit_s=None,
            clock=SystemClock(),
        )


@pytest.mark.parametrize("address", ["ftp://x", "models", ""])
def test_an_address_that_is_none_is_said_at_once(address: str, tmp_path: Path, shop: Shop) -> None:
    """Before anything is fetched."""
    from fleet_agent.updates.repository import TufRepository

    with pytest.raises(UpdateError, match="address"):
        TufRepository(
            address,
            root=shop.repository.root,
            folder=tmp_path / "f",
            bandwidth_kbit_s=None,
            clock=SystemClock(),
        )
