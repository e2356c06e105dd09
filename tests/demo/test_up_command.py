"""`cartwright up` says in one sentence what is wrong, and touches nothing then."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo import cli
from demo.data_dir import DataDir, locked
from demo.errors import DataDirInUseError, MissingToolError, OtherWorldError, PortTakenError, SettingsError
from demo.up import main as up
from demo.up.broker import choose_kind
from demo.up.ports import LOOPBACK, Ports, settle
from demo.up.settings import read_settings
from demo.world.record import Wishes, start_record
from tests.demo.conftest import EPOCH_MS

HOLDER = """
import sys, time
from pathlib import Path
from demo.data_dir import DataDir, locked
with locked(DataDir(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_a_taken_port_is_named_with_its_component_and_owner(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The sentence says which port, for what, held by whom, and which option chooses another."""
    with socket.socket() as squatter:
        squatter.bind((LOOPBACK, 0))
        squatter.listen(1)
        port = squatter.getsockname()[1]
        argv = ["--data-dir", str(tmp_path), "--port-base", "0", "--warehouse-port", str(port)]
        assert up.main(argv) == 1
    sentence = _one_line(capsys)
    assert f"Port {port} for the embedded BigQuery endpoint is taken by" in sentence
    assert f"process {os.getpid()}" in sentence
    assert "--warehouse-port PORT" in sentence
    assert not (tmp_path / "world.json").exists()


def test_a_second_up_on_the_same_data_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The sentence names the process that holds the data directory; its death releases it."""
    argv = (sys.executable, "-c", HOLDER, str(tmp_path))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert up.main(["--data-dir", str(tmp_path), "--port-base", "0"]) == 1
        assert f"process {holder.pid}" in _one_line(capsys)
        holder.kill()
    with locked(DataDir(tmp_path)):
        pass


def test_the_lock_is_released_when_its_owner_is_done(tmp_path: Path) -> None:
    """A second start after a first is welcome; one during a first is not."""
    with locked(DataDir(tmp_path)), pytest.raises(DataDirInUseError), locked(DataDir(tmp_path)):
        pass
    with locked(DataDir(tmp_path)):
        pass


def test_a_data_directory_that_cannot_be_made_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file where the directory should be: one sentence."""
    (tmp_path / "file").touch()
    assert up.main(["--data-dir", str(tmp_path / "file" / "data"), "--port-base", "0"]) == 1
    assert "--data-dir" in _one_line(capsys)


def test_a_missing_broker_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for mosquitto where there is none, the sentence says how to get it; amqtt then serves."""
    monkeypatch.setattr("demo.up.broker.find_mosquitto", lambda _: None)
    with pytest.raises(MissingToolError, match=r"mosquitto is missing: install it \(apt-get"):
        choose_kind("mosquitto", {})
    assert choose_kind("auto", {}) == "amqtt"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--for", "0"], "--for"),
        (["--warehouse", "cartwright"], "PROJECT.DATASET"),
        (["--broker", "broker.example"], "--broker"),
        (["--broker-port", "70000"], "--broker-port"),
    ],
)
def test_options_that_make_no_sense_are_named(argv: list[str], words: str) -> None:
    """Each wrong option gives a sentence with its name."""
    with pytest.raises(SettingsError, match=words):
        read_settings(argv)


def test_the_broker_password_never_reaches_a_command_line() -> None:
    """It is taken out of the address at once and not shown when the address is wrong."""
    settings = read_settings(["--broker", "mqtts://me:s%20ecret@broker.example"])
    assert settings.broker == "mqtts://me@broker.example:8883"
    assert settings.broker_password == "s ecret"  # noqa: S105
    with pytest.raises(SettingsError) as found:
        read_settings(["--broker", "http://me:hush@broker.example"])
    assert "hush" not in str(found.value)


def test_port_base_lays_out_all_ports_and_single_options_win() -> None:
    """One base for all, one option for one."""
    settings = read_settings(["--port-base", "20000", "--broker-port", "1884"])
    assert settings.ports == Ports(
        broker=1884,
        warehouse=20001,
        warehouse_grpc=20002,
        dashboard=20000,
        ingest=20004,
        control=20005,
        models=20006,
    )


def test_free_ports_are_all_different() -> None:
    """Port 0 is replaced by a free port, each time another."""
    settled = settle(Ports.from_base(0), ("broker", "warehouse", "warehouse_grpc", "dashboard", "ingest"))
    chosen = {settled.broker, settled.warehouse, settled.warehouse_grpc, settled.dashboard, settled.ingest}
    assert len(chosen) == 5
    assert 0 not in chosen


def test_unneeded_ports_are_not_looked_at() -> None:
    """With somebody else's broker, a taken broker port does not matter."""
    with socket.socket() as squatter:
        squatter.bind((LOOPBACK, 0))
        squatter.listen(1)
        ports = Ports(broker=squatter.getsockname()[1], ingest=0)
        assert settle(ports, ("ingest",)).broker == ports.broker
        with pytest.raises(PortTakenError):
            settle(ports, ("broker",))


def test_a_second_start_continues_the_same_world(tmp_path: Path) -> None:
    """Without options it takes what is there; the epoch stays, starts are counted."""
    data = DataDir(tmp_path)
    first = start_record(data, Wishes(seed=9, stores=2), lambda: EPOCH_MS)
    second = start_record(data, Wishes(), lambda: EPOCH_MS + 86_400_000)
    assert second.settings == first.settings
    assert (first.starts, second.starts) == (1, 2)


def test_another_world_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """Other options on an old directory: the sentence says what it holds."""
    data = DataDir(tmp_path)
    start_record(data, Wishes(seed=9, stores=2), lambda: EPOCH_MS)
    with pytest.raises(OtherWorldError, match="9 seed, 2 stores"):
        start_record(data, Wishes(seed=1, stores=3), lambda: EPOCH_MS)


def test_a_damaged_world_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is not overwritten."""
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(SettingsError, match=r"world\.json cannot be read"):
        start_record(DataDir(tmp_path), Wishes(), lambda: EPOCH_MS)


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Help names every command; an unknown one is one sentence and status 2."""
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command.name in text for command in cli.COMMANDS)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cartwright ")
    assert cli.main(["dance"]) == 2
    assert "no command 'dance'" in _one_line(capsys)


def test_help_is_fast_because_nothing_is_imported() -> None:
    """The command line alone imports neither numpy nor Google's client."""
    code = (
        "import sys, demo.cli; demo.cli.main(['--help']);"
        "print('numpy' in sys.modules, 'google' in sys.modules)"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
