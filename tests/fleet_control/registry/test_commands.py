"""What people get wrong on the command line, and what an alarm looks at."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from demo.cli import main
from fleet_control.errors import RegistryError
from fleet_control.registry.passphrases import PASSPHRASE_ENV, read_passphrases
from tests.fleet_control.registry.commands import Commands
from tests.repositories import write_model

ROOT = Path(__file__).parents[3]
AT_ONCE = 1e-9  # days; metadata has whole seconds, so it has expired when it is signed


def models(*arguments: object) -> int:
    """Run a command."""
    return main(["models", *map(str, arguments)])


def root_keys(commands: Commands) -> int:
    """Count the root keys that are in use."""
    return len(list((commands.keys / "root").iterdir()))


@contextmanager
def started(*arguments: object, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Start a command as a process of its own, which ends with the story."""
    argv = [sys.executable, "-m", "demo.cli", "models", *map(str, arguments)]
    with subprocess.Popen(argv, cwd=ROOT, text=True, stdout=stdout, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("keys", ["repository/keys", "repository/targets/keys", "repository", "."])
def test_keys_are_kept_apart_from_what_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str
) -> None:
    """Keys inside the repository, or around it, are refused before one is drawn; a link does not help."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / keys)
    for folder in (tmp_path / keys, link):
        assert models("init", tmp_path / "repository", "--keys", folder) == 1
        assert "keep keys apart" in capsys.readouterr().err

    assert list(tmp_path.rglob("*.pem")) == []


@pytest.mark.parametrize("action", ["publish", "republish", "retire", "list", "refresh", "renew-root"])
def test_each_command_looks_where_the_keys_are(
    commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    """Keys that were moved into the repository later are refused too."""
    folder = write_model(tmp_path / "model", 1)
    model: dict[str, object] = {"publish": folder, "republish": "0" * 16, "retire": "0" * 16}
    arguments = [model[action]] if action in model else []
    commands.keys = commands.keys.rename(commands.repository / "targets")

    assert commands.run(action, *arguments) == 1
    assert "keep keys apart" in capsys.readouterr().err


def test_nothing_is_published_below_an_expired_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Carts would not take it, so it must not look as if it worked; with a new root it does."""
    commands, model = Commands(tmp_path), write_model(tmp_path / "model", 1)
    commands.run("init", "--root-days", AT_ONCE)
    for action, what in (("publish", model), ("republish", "0" * 16), ("retire", "0" * 16)):
        assert commands.run(action, what) == 1
        assert re.search("the root expired at 20.*renew-root", capsys.readouterr().err)

    settings = commands.keys / "settings.json"
    settings.write_text("{}")
    assert commands.run("renew-root") == 0

    assert commands.run("publish", model) == 0


@pytest.mark.parametrize("role", ["root", "targets"])
@pytest.mark.parametrize("action", ["list", "refresh"])
def test_an_alarm_sees_what_has_expired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str, action: str
) -> None:
    """Both print all of it as ever, say which role it is, and fail; a fresh repository does not."""
    commands = Commands(tmp_path)
    commands.run("init", f"--{role}-days", AT_ONCE)
    capsys.readouterr()

    assert commands.run(action) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"cartwright models {action}: {role} expired")
    assert said.out.count("holds until") == 4

    fresh = Commands(tmp_path / "fresh")
    fresh.run("init")
    assert fresh.run(action) == 0


def test_a_number_of_keys_or_a_threshold_is_changed_alone(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of three must sign: what is not named stays, and what cannot be met is refused."""
    assert commands.run("rotate-root", "--key-count", 4) == 0
    assert root_keys(commands) == 4
    assert commands.run("rotate-root", "--threshold", 3) == 0
    assert root_keys(commands) == 4
    for impossible in (("--threshold", 5), ("--key-count", 2), ("--threshold", 0), ("--key-count", 0)):
        assert commands.run("rotate-root", *impossible) == 1
        assert "cannot sign" in capsys.readouterr().err

    assert root_keys(commands) == 4


def test_a_new_root_says_where_its_keys_lie_and_where_they_belong(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were drawn on this machine, and must not stay there; the old ones are no use to anybody."""
    old = sorted(path.name for path in (commands.keys / "root").iterdir())
    capsys.readouterr()
    assert commands.run("rotate-root") == 0
    told = capsys.readouterr().out

    for path in (commands.keys / "root").iterdir():
        assert f"  {path}\n" in told.split("rotated out")[0]
    for name in old:
        assert f"  {commands.keys / 'retired' / 'root' / name}\n" in told.split("rotated out")[1]
    assert "move each new root key to a stick of its own" in told

    assert commands.run("rotate", "snapshot", "timestamp") == 0
    told = capsys.readouterr().out
    assert "stick of its own" not in told
    assert "bring those of snapshot, timestamp to the machines" in told


@pytest.mark.parametrize(
    "wrong",
    [
        ("--timestamp-days", -1),
        ("--root-days", 0),
        ("--targets-days", "nan"),
        ("--snapshot-days", 1e9),
        ("--root-keys", 0),
        ("--root-keys", 10**9),
    ],
)
def test_a_beginning_that_cannot_be_leaves_nothing_behind(tmp_path: Path, wrong: tuple[str, object]) -> None:
    """So it is typed again, right, and works."""
    commands = Commands(tmp_path)
    assert commands.run("init", *wrong) == 1
    assert list(tmp_path.iterdir()) == []

    assert commands.run("init") == 0


@pytest.mark.parametrize("used", ["repository", "keys"])
def test_a_repository_is_not_begun_over_another(
    commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str], used: str
) -> None:
    """Neither in its folder nor with the folder of its keys."""
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = Commands(tmp_path / "other")
    setattr(other, used, getattr(commands, used))

    assert other.run("init") == 1
    assert "already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("what", ["typo", "file"])
def test_a_folder_that_is_no_repository_is_refused_and_not_made(
    commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """Only `init` begins one."""
    wrong = tmp_path / what
    if what == "file":
        wrong.touch()
    keys = ("--keys", commands.keys)
    assert models("serve", wrong, "--port", 0) == 1
    for action in ("list", "refresh", "renew-root", "rotate-root"):
        assert models(action, "--repository", wrong, *keys) == 1
    for action, model in (("publish", write_model(tmp_path / "model", 1)), ("retire", "0" * 16)):
        assert models(action, model, "--repository", wrong, *keys) == 1

    assert capsys.readouterr().err.count("is no model repository") == 7
    assert not wrong.is_dir()


@pytest.mark.parametrize("where", [("--port", 99_999), ("--host", "a" * 100)])
def test_an_address_that_cannot_be_is_told(
    commands: Commands, capsys: pytest.CaptureFixture[str], where: tuple[str, object]
) -> None:
    """In a sentence."""
    assert models("serve", commands.repository, *where) == 1
    assert "cannot listen on" in capsys.readouterr().err


def test_a_passphrase_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any key is written; the longest that goes does open its keys."""
    commands = Commands(tmp_path)
    monkeypatch.setenv(PASSPHRASE_ENV, "x" * 1_024)
    assert commands.run("init") == 1
    assert not commands.keys.exists()
    with pytest.raises(RegistryError, match="more than 1023 bytes"):
        read_passphrases(os.environ)

    monkeypatch.setenv(PASSPHRASE_ENV, "x" * 1_023)
    assert commands.run("init") == 0
    assert commands.run("renew-root") == 0


@pytest.mark.end_to_end
def test_a_reader_that_has_seen_enough_is_no_error(commands: Commands) -> None:
    """`list | head -1` ends as other commands do in a pipe, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    with started(
        "list", "--repository", commands.repository, "--keys", commands.keys, stdout=writer
    ) as listing:
        os.close(writer)

        assert listing.communicate(timeout=60)[1] == ""
    assert listing.returncode == 141


@pytest.mark.end_to_end
def test_a_full_disk_under_the_output_is_told(commands: Commands) -> None:
    """As a cron job meets it: an error, and no traceback."""
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        started(
            "list", "--repository", commands.repository, "--keys", commands.keys, stdout=full.fileno()
        ) as listing,
    ):
        assert listing.communicate(timeout=60)[1] == "cartwright models list: No space left on device\n"
    assert listing.returncode == 1


@pytest.mark.end_to_end
def test_serving_ends_quietly_with_control_c(commands: Commands) -> None:
    """As somebody types it who has seen enough of the demo."""
    http = urllib3.PoolManager()
    with started("serve", commands.repository, "--port", 0) as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().split()[1]
        assert http.request("GET", f"{url}/metadata/timestamp.json").status == 200
        http.clear()
        serving.send_signal(signal.SIGINT)

        assert serving.communicate(timeout=60) == ("", "")
    assert serving.returncode == 130
