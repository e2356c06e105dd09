"""The whole loop on one machine: rendered frames, real inference, MQTT, ingest, warehouse, client."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.processes import module, running, until
from tests.end_to_end.warehouse import EVER, Reader, read_spool, reading, stored_numbers

PROJECT = "cartwright-demo"
# Enough of everything to see doubles and losses; a cart decides on an item every half minute or so.
ITEM_EVENTS = 6


def up(data_dir: Path, *arguments: str) -> list[str]:
    """Return the command line of a small, headless world."""
    size = ["--stores", "1", "--carts-per-store", "3", "--history-days", "1", "--port-base", "0"]
    return module("demo.cli", "up", "--headless", "--data-dir", str(data_dir), *size, *arguments)


def warehouse_port(data_dir: Path) -> int:
    """Return where the running demo's warehouse listens."""
    run = json.loads((data_dir / "run.json").read_text())
    port: int | None = urlsplit(run["components"]["warehouse"]["address"]).port
    assert port is not None
    return port


def live_events(reader: Reader) -> int:
    """Count item events that carts decided on now, not in their written history."""
    carts = "SELECT DISTINCT boot_id FROM cart_states_raw WHERE received_at >= " + EVER
    return reader.count(
        f"SELECT COUNT(*) FROM events WHERE event_at >= {EVER} AND event_type = 'item'"
        f" AND boot_id IN ({carts})"
    )


@pytest.mark.end_to_end
@pytest.mark.mosquitto
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_what_carts_sent_is_what_the_warehouse_holds_none_twice_none_missing(
    broker: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Counts of the carts' spools equal those that Google's client reads, on either broker."""
    with running(up(tmp_path, "--broker-kind", broker)) as demo:
        demo.wait_for("store s001", timeout_s=180)
        reader = Reader(warehouse_port(tmp_path), PROJECT)
        until(lambda: live_events(reader) >= ITEM_EVENTS, f"{ITEM_EVENTS} item events", timeout_s=150)
        reader.close()
        assert demo.stop(timeout_s=60) == 0, demo.output

    with reading(tmp_path / "warehouse", free_port(), free_port(), PROJECT) as reader:
        spools = {
            path.parent.name: read_spool(path, path.parent.name) for path in tmp_path.glob("carts/*/spool.db")
        }
        assert len(spools) == 3
        for sent in (one for spool in spools.values() for one in spool):
            expected = [seq for seq in range(sent.messages) if seq not in sent.held]
            stored = [seq for seq in stored_numbers(reader, sent) if seq not in sent.held]
            assert stored == expected, sent
        _assert_item_events_agree(reader, [one for spool in spools.values() for one in spool])
        assert reader.count(f"SELECT COUNT(*) FROM dead_letters WHERE received_at >= {EVER}") == 0


def _assert_item_events_agree(reader: Reader, sent: list) -> None:  # type: ignore[type-arg]
    boots = ", ".join(f"'{one.boot}'" for one in sent)
    stored = reader.count(
        f"SELECT COUNT(*) FROM events_raw WHERE event_at >= {EVER} AND event_type = 'item'"
        f" AND boot_id IN ({boots})"
    )
    said = sum(one.item_events for one in sent)
    held = sum(len(one.held) for one in sent if one.channel == "evt")
    assert said - held <= stored <= said
    if not held:
        assert stored == said


@pytest.mark.end_to_end
@pytest.mark.mosquitto
@pytest.mark.timeout(240)
def test_a_second_start_goes_on_with_the_same_data_and_two_at_once_are_refused(tmp_path: Path) -> None:
    """History is written once; the second `up` on a directory says why it will not start."""
    with running(up(tmp_path)) as demo:
        demo.wait_for("store s001", timeout_s=180)
        second = subprocess.run(up(tmp_path), capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode != 0
        assert str(tmp_path) in second.stderr
        assert "Traceback" not in second.stderr
        assert demo.stop(timeout_s=60) == 0, demo.output

    with running(up(tmp_path)) as demo:
        demo.wait_for("store s001", timeout_s=120)
        assert not [line for line in demo.lines if line.startswith("history") and "written" in line]
        reader = Reader(warehouse_port(tmp_path), PROJECT)
        doubles = reader.count(
            f"SELECT COUNT(*) - COUNT(DISTINCT CONCAT(cart_id, boot_id, CAST(seq AS STRING)))"
            f" FROM telemetry_raw WHERE window_start >= {EVER}"
        )
        reader.close()
        assert doubles == 0
        demo._popen.send_signal(signal.SIGINT)  # Ctrl-C
        assert demo.wait(60) == 0, demo.output
    assert not _processes_that_mention(tmp_path)


def _processes_that_mention(path: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in command and process.parent.name != str(os.getpid()):
            found.append(command)
    return found
