"""Publishing models, and carts that fetch them: when all is well, and when the line or the power goes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from fleet_agent.activation.signing import trusted_keys
from fleet_agent.activation.store import ModelStore, read_offer
from fleet_agent.errors import FetchStoppedError, RepositoryRefusedError, RepositoryUnreachableError
from fleet_agent.ports import SystemClock
from fleet_agent.updates.repository import TufRepository
from fleet_control.errors import RegistryError
from fleet_control.registry.cli import main
from fleet_control.registry.models import IndexEntry
from fleet_control.registry.reading import RepositoryRegistry
from fleet_control.registry.repository import Thresholds
from fleet_control.registry.serve import RepositoryServer
from tests.fleet_control.registry.conftest import MODELS, Opener, Server, Shop


class SleepingClock(SystemClock):
    """A clock on which only waits take time."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def monotonic_s(self) -> float:
        """Return what was slept."""
        return self.slept_s

    def event(self) -> threading.Event:
        """Return an event that nobody sets: waiting for it passes the time at once."""
        clock = self

        class Passing(threading.Event):
            """Waits by passing the time."""

            def wait(self, timeout: float | None = None) -> bool:
                """Pass the time."""
                clock.slept_s += timeout or 0.0
                return False

        return Passing()


def fetch(repository: TufRepository, entry: IndexEntry, into: Path) -> Path:
    """Fetch a model."""
    return repository.fetch(
        entry.digest, entry.manifest, into, on_progress=lambda _done, _of: None, stop=lambda: False
    )


def test_what_is_published_arrives_whole_and_the_cart_s_store_takes_it(
    shop: Shop, cart: Opener, tmp_path: Path
) -> None:
    """Every file of the manifest, its signature, progress from nothing to all, and no other file."""
    entry = shop.publish()
    told: list[tuple[int, int]] = []
    into = cart().fetch(
        entry.digest,
        entry.manifest,
        tmp_path / "new",
        on_progress=lambda done, of: told.append((done, of)),
        stop=lambda: False,
    )
    assert {str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()} == set(entry.files)
    assert told[-1][0] == told[-1][1]
    assert told == sorted(told)
    store = ModelStore(tmp_path / "store", trusted_keys(MODELS / "keys"))
    assert store.admit(read_offer(into)).name == entry.manifest


def test_a_line_that_is_cut_is_taken_up_where_it_was(
    shop: Shop, server: Server, cart: Opener, tmp_path: Path
) -> None:
    """The second try asks for the rest only, also after the agent was restarted."""
    entry = shop.publish()
    server.cut_after = 400_000
    with pytest.raises(RepositoryUnreachableError):
        fetch(cart(), entry, tmp_path / "new")
    cut, _ = server.asked[-1]
    server.asked.clear()
    fetch(cart(), entry, tmp_path / "new")
    begins = dict(server.asked)
    assert begins[cut] >= 300_000
    server.asked.clear()
    fetch(cart(), entry, tmp_path / "new")
    assert server.asked == []


def test_a_server_that_cannot_give_a_part_gives_the_whole(
    shop: Shop, server: Server, cart: Opener, tmp_path: Path
) -> None:
    """Nothing is appended to what was there."""
    entry = shop.publish()
    server.cut_after, server.ranges = 400_000, False
    with pytest.raises(RepositoryUnreachableError):
        fetch(cart(), entry, tmp_path / "new")
    fetch(cart(), entry, tmp_path / "new")
    assert (tmp_path / "new" / "model.onnx").read_bytes() == (MODELS / "v2" / "model.onnx").read_bytes()


def test_a_pause_stops_fetching_between_two_pieces_and_keeps_what_came(
    shop: Shop, cart: Opener, tmp_path: Path
) -> None:
    """What was fetched before the pause is not fetched again."""
    entry = shop.publish()
    pieces = 0

    def stop() -> bool:
        nonlocal pieces
        pieces += 1
        return pieces > 60

    with pytest.raises(FetchStoppedError):
        cart().fetch(
            entry.digest, entry.manifest, tmp_path / "new", on_progress=lambda _d, _o: None, stop=stop
        )
    assert pieces == 61
    fetch(cart(), entry, tmp_path / "new")


def test_the_bandwidth_is_kept(shop: Shop, cart: Opener, tmp_path: Path) -> None:
    """At 8 Mbit/s a model takes the seconds that it must, on a clock whose waits pass at once."""
    entry = shop.publish()
    clock = SleepingClock()
    fetch(cart(clock, 8_000), entry, tmp_path / "new")
    assert clock.slept_s == pytest.approx(entry.size_bytes / 1_000_000, rel=0.1)


def test_the_controller_reads_as_a_cart_does(shop: Shop, tmp_path: Path) -> None:
    """Over HTTP and from a folder: all models, the newest first, and whether each can be fetched."""
    first, second = shop.publish("v1"), shop.publish("v2")
    server = RepositoryServer(shop.served)
    for where in (server.url, str(shop.served)):
        registry = RepositoryRegistry(
            where, root=shop.repository.root, cache=tmp_path / str(len(where)), monotonic_s=lambda: 0.0
        )
        assert [model.digest for model in registry.models()] == [second.digest, first.digest]
        assert registry.fetchable(first.digest)
        assert not registry.fetchable("c" * 16)
        registry.close()
    victim = next((shop.served / "targets" / "models" / first.digest).glob("*.model.onnx"))
    victim.unlink()
    registry = RepositoryRegistry(server.url, root=shop.repository.root, cache=tmp_path / "c")
    assert not registry.fetchable(first.digest)
    registry.close()
    server.close()


def test_a_rollback_is_new_metadata_that_names_the_old_files(
    shop: Shop, cart: Opener, tmp_path: Path
) -> None:
    """Versions only rise; the old model is fetched again as if it were new."""
    old = shop.publish("v1")
    shop.publish("v2")
    fetch(cart(), old, tmp_path / "a")
    again = shop.repository.republish(old.digest)
    assert again.manifest == old.manifest
    fetch(cart(), again, tmp_path / "b")
    assert [entry.digest for entry in shop.repository.index().models][-1] == old.digest


def test_a_pinned_model_is_not_retired(shop: Shop) -> None:
    """Who needs it is named; when nobody does any more, it goes, files and all."""
    entry = shop.publish("v1")
    shop.repository.pin([entry.digest], "rollout autumn")
    with pytest.raises(RegistryError, match="rollout autumn"):
        shop.repository.retire(entry.digest)
    shop.repository.pin([], "rollout autumn")
    shop.repository.retire(entry.digest)
    assert shop.repository.index().models == []
    files = (shop.served / "targets" / "models" / entry.digest).rglob("*")
    assert not [path for path in files if path.is_file()]
    with pytest.raises(RegistryError, match="not published"):
        shop.repository.republish(entry.digest)


def test_a_model_that_is_not_what_its_manifest_says_is_not_published(shop: Shop, tmp_path: Path) -> None:
    """A missing file, another file, a manifest that is none: each is named, and nothing changes."""
    for number, (name, content) in enumerate(
        (
            ("model.onnx", b"x"),
            ("model.int8.onnx", None),
            ("manifest.json", b"[]"),
            ("manifest.json", b'{"name": "../x"}'),
        )
    ):
        folder = tmp_path / f"broken-{number}"
        shutil.copytree(MODELS / "v2", folder)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        with pytest.raises(RegistryError, match=name.replace(".", r"\.")):
            shop.repository.publish(folder)
    assert shop.repository.index().models == []


def test_keys_are_rotated_and_an_old_cart_follows(shop: Shop, cart: Opener, tmp_path: Path) -> None:
    """From the first root to the newest, through each in between."""
    entry = shop.publish()
    for role in ("timestamp", "snapshot", "targets", "root", "root"):
        shop.repository.rotate(role)
    assert len(list((shop.served / "metadata").glob("*.root.json"))) == 6
    fetch(cart(), entry, tmp_path / "new")


def test_a_threshold_of_two_needs_two_keys(tmp_path: Path) -> None:
    """With one key of two taken away nothing is published, and the sentence says how many are needed."""
    shop = Shop(tmp_path, Thresholds(root_keys=3, root=2, targets_keys=2, targets=2))
    shop.publish("v1")
    key = next((tmp_path / "keys").glob("targets-*.pem"))
    key.rename(tmp_path / "elsewhere.pem")
    with pytest.raises(RegistryError, match="2 of its 2 keys"):
        shop.publish("v2")
    assert [entry.version for entry in shop.repository.index().models] == ["v1"]


def test_refreshing_needs_no_offline_key(shop: Shop, cart: Opener, tmp_path: Path) -> None:
    """Dates are renewed with the online keys alone."""
    entry = shop.publish()
    for key in (shop.folder / "keys").glob("root-*.pem"):
        key.unlink()
    for key in (shop.folder / "keys").glob("targets-*.pem"):
        key.unlink()
    shop.repository.refresh()
    fetch(cart(), entry, tmp_path / "new")


def test_keys_are_for_their_owner_alone_and_encrypted_with_a_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File modes, no plain key with a passphrase, and a wrong passphrase is said without it."""
    words = tmp_path / "words"
    words.write_text("correct horse\n")
    monkeypatch.setenv("CARTWRIGHT_KEYS_PASSPHRASE_FILE", str(words))
    where = ["--repository", str(tmp_path / "r"), "--keys", str(tmp_path / "k")]
    assert main(["init", *where]) == 0
    for key in (tmp_path / "k").iterdir():
        assert key.stat().st_mode & 0o077 == 0
        assert b"ENCRYPTED" in key.read_bytes()
    assert main(["publish", str(MODELS / "v1"), *where]) == 0
    words.write_text("wrong pony\n")
    assert main(["refresh", *where]) == 1
    said = capsys.readouterr()
    assert "passphrase" in said.err
    assert "pony" not in said.err + said.out


def test_the_command_line_does_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Init, publish, list, retire; and what is wrong is one sentence."""
    where = ["--repository", str(tmp_path / "r"), "--keys", str(tmp_path / "k")]
    assert main(["list", *where[:2]]) == 1
    assert "cartwright models init" in capsys.readouterr().err
    assert main(["init", *where, "--root-keys", "2", "--root-threshold", "3"]) == 1
    assert main(["init", *where]) == 0
    assert main(["init", *where]) == 1
    assert main(["publish", str(MODELS / "v1"), *where]) == 0
    assert main(["list", *where[:2]]) == 0
    listed = capsys.readouterr().out
    digest = json.loads((MODELS / "v1" / "manifest.json").read_text())["artifacts"]["fp32"]["sha256"][:16]
    assert digest in listed
    assert main(["rotate", "timestamp", *where]) == 0
    assert main(["retire", digest, *where]) == 0


_PUBLISHER = """
import sys
from pathlib import Path
from fleet_control.registry.keys import KeyFolder
from fleet_control.registry.repository import ModelRepository
folder, models = Path(sys.argv[1]), Path(sys.argv[2])
repository = ModelRepository(folder / "repository", KeyFolder(folder / "keys"))
print("READY", flush=True)
while True:
    for version in ("v1", "v2"):
        repository.publish(models / version)
"""


@pytest.mark.end_to_end
def test_a_publisher_that_is_killed_leaves_a_repository_that_serves(
    shop: Shop, cart: Opener, tmp_path: Path
) -> None:
    """Twenty SIGKILLs at random moments: a cart fetches after each, and the next publication works."""
    entry = shop.publish("v1")
    rng = random.Random(4)
    for turn in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", _PUBLISHER, str(shop.folder), str(MODELS)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(rng.uniform(0.0, 0.25))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        if turn % 5 == 0:
            fetch(cart(), entry, tmp_path / "new")
    shop.opened().publish(MODELS / "v2")
    fetch(cart(), entry, tmp_path / "new")


def test_signatures_hold_as_long_as_they_say(shop: Shop) -> None:
    """Dates come from the settings: a day for the timestamp, unless told otherwise."""
    shop.publish()
    path = shop.served / "metadata" / "timestamp.json"
    first = json.loads(path.read_text())["signed"]["expires"]
    shop.opened({role: timedelta(days=2) for role in ("root", "targets", "snapshot", "timestamp")}).refresh()
    assert json.loads(path.read_text())["signed"]["expires"] > first


def test_a_digest_has_one_manifest(shop: Shop, tmp_path: Path) -> None:
    """A published model cannot be replaced under its digest: a rollback needs what it was."""
    shop.publish("v2")
    folder = tmp_path / "other"
    shutil.copytree(MODELS / "v2", folder)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"version": "v2-other"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RegistryError, match="another manifest"):
        shop.repository.publish(folder)
    assert [entry.version for entry in shop.repository.index().models] == ["v2"]


def test_a_rotation_without_the_root_s_keys_changes_nothing(shop: Shop) -> None:
    """No stray key is left behind."""
    for key in (shop.folder / "keys").glob("root-*.pem"):
        key.unlink()
    before = sorted((shop.folder / "keys").iterdir())
    with pytest.raises(RegistryError, match="root needs the signatures"):
        shop.repository.rotate("timestamp")
    assert sorted((shop.folder / "keys").iterdir()) == before


def test_one_wrong_part_does_not_bar_a_cart_for_ever(
    shop: Shop, server: Server, cart: Opener, tmp_path: Path
) -> None:
    """A line that once gives too much of the rest is refused, and the next honest answer is taken."""
    entry = shop.publish()
    server.cut_after = 400_000
    with pytest.raises(RepositoryUnreachableError):
        fetch(cart(), entry, tmp_path / "new")
    cut, _ = server.asked[-1]
    server.replaced[cut] = (shop.served / cut).read_bytes() + bytes(100_000)
    with pytest.raises(RepositoryRefusedError):
        fetch(cart(), entry, tmp_path / "new")
    server.replaced.clear()
    fetch(cart(), entry, tmp_path / "new")
