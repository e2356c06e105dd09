"""Stories about the command line: a cart as a process, on a real video, with a real broker."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from fleet_agent.check import check
from fleet_agent.cli import main
from fleet_agent.config import parse_config
from fleet_agent.launch import SHIPPED_MODELS, load_model
from fleet_agent.ports import SystemClock
from fleet_agent.spool_schema import open_database
from fleet_protocol.messages import Events, Window
from tests.fleet_agent.conftest import Broker
from tests.fleet_agent.test_transport_mqtt import Cloud
from tests.fleet_agent.worlds import CART, OWNER, STORE, picture, wait_for

ROOT = Path(__file__).parents[2]
MODEL = SHIPPED_MODELS / "v1"
FPS = 15.0
# What happens in the film: grey, then something is held into view while the weight changes.
SHOWN = (1.5, 3.0)
WEIGHED_AT_S = 2.4
LENGTH_S = 5.0


def write_film(path: Path) -> None:
    """Write a film of five seconds."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (320, 240))
    assert writer.isOpened()
    for i in range(round(LENGTH_S * FPS)):
        held = SHOWN[0] <= i / FPS < SHOWN[1]
        writer.write(picture(0 if held else None, width=320, height=240))
    writer.release()


def settings(tmp_path: Path, port: int, *, weight_g: float) -> Path:
    """Write film, script and configuration of a cart with two cameras; returns the configuration."""
    write_film(tmp_path / "film.avi")
    (tmp_path / "scale.csv").write_text(f"0,1000\n{WEIGHED_AT_S},{1000 + weight_g}\n")
    camera = f'kind = "video"\nsource = "{tmp_path}/film.avi"\n'
    text = f"""
        store = "{STORE}"
        cart = "{CART}"
        [model]
        directory = "{MODEL}"
        idle_inference_fps = 1.0
        [[cameras]]
        name = "front"
        {camera}
        [[cameras]]
        name = "left"
        {camera}
        [scale]
        kind = "script"
        script = "{tmp_path}/scale.csv"
        [telemetry]
        window_s = 1.0
        [spool]
        path = "{tmp_path}/state/spool.db"
        [mqtt]
        host = "127.0.0.1"
        port = {port}
        reconnect_min_s = 0.05
        reconnect_max_s = 0.2
    """
    path = tmp_path / "cart.toml"
    path.write_text(text)
    return path


def launch(config: Path) -> "subprocess.Popen[str]":
    """Start a cart and wait until it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet_agent.cli", "run", "--config", str(config)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"READY {CART}\n", process.communicate(timeout=10)[1]
    return process


def finish(process: "subprocess.Popen[str]") -> str:
    """Stop a cart with SIGTERM; returns what it logged."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    return log


needs_model = pytest.mark.skipif(not (MODEL / "model.onnx").exists(), reason="model v1 is not trained yet")


@needs_model
@pytest.mark.mosquitto
def test_a_cart_reads_a_real_video_and_its_event_is_stored_once(tmp_path: Path, mosquitto: Broker) -> None:
    """Film, scripted scale, the shipped model, mosquitto: one weight change, one event, as the spool says."""
    cloud = Cloud(mosquitto.port)
    weight_g = load_model(MODEL).manifest.classes[0].weight_g
    process = launch(settings(tmp_path, mosquitto.port, weight_g=weight_g))
    wait_for(lambda: bool(cloud.stored_ids()), 30)
    log = finish(process)
    assert "Traceback" not in log
    wait_for(lambda: cloud.memory.states[-1].reason == "stopped")
    (event,) = (m.cols for m in cloud.memory.of("evt") if isinstance(m, Events))
    assert event.dir == ["add"]
    assert isinstance(event.dw, list)
    assert event.dw[0] == pytest.approx(weight_g, abs=1.0)
    windows = [m for m in cloud.memory.of("tel") if isinstance(m, Window)]
    assert sum(w.cnt.get("frames/front", 0) for w in windows) > FPS
    assert any("infer" in w.hist for w in windows)
    db, aside = open_database(tmp_path / "state" / "spool.db", OWNER)
    sent = dict(db.execute("SELECT channel, messages FROM totals").fetchall())
    db.close()
    assert aside is None
    assert sent == {"evt": 1, "tel": len(windows), "upd": 0}
    cloud.close()


@needs_model
@pytest.mark.mosquitto
def test_a_cart_proves_its_model_once_and_starts_with_it_next_time(tmp_path: Path, mosquitto: Broker) -> None:
    """The first start serves at once and puts the signed model through its gate; the next opens its slot."""
    path = settings(tmp_path, mosquitto.port, weight_g=250.0)
    cloud = Cloud(mosquitto.port)
    first = launch(path)
    wait_for(lambda: len([s for s in cloud.memory.states if s.online]) == 2, 60)
    assert "model_activated" in finish(first)
    second = launch(path)
    log = finish(second)
    assert "source='current'" in log
    assert "model_activated" not in log
    assert all(s.engine.startswith("onnxruntime") for s in cloud.memory.states if s.online)
    cloud.close()


@needs_model
@pytest.mark.mosquitto
def test_a_killed_cart_delivers_after_its_restart(
    tmp_path: Path, mosquitto: Broker, free_port: Callable[[], int]
) -> None:
    """An event made without a broker survives SIGKILL and is delivered, once, by the next start."""
    path = settings(tmp_path, free_port(), weight_g=250.0)
    process = launch(path)
    database = tmp_path / "state" / "spool.db"

    def events_written() -> int:
        db, _ = open_database(database, OWNER)
        written = db.execute("SELECT count(*) FROM messages WHERE channel = 'evt'").fetchone()[0]
        db.close()
        return int(written)

    wait_for(lambda: events_written() == 1, 30)
    process.kill()
    process.communicate(timeout=10)
    # The next start looks at an empty film of nothing: only the old event may arrive.
    (tmp_path / "scale.csv").write_text("0,1000\n")
    path.write_text(path.read_text().replace("port = ", f"port = {mosquitto.port} # "))
    cloud = Cloud(mosquitto.port)
    again = launch(path)
    wait_for(lambda: bool(cloud.stored_ids()), 30)
    finish(again)
    assert len(cloud.stored_ids()) == 1
    cloud.close()


@needs_model
@pytest.mark.mosquitto
def test_check_reports_every_part_of_a_good_cart(
    tmp_path: Path, mosquitto: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` prints one OK line for each part and ends with 0."""
    path = settings(tmp_path, mosquitto.port, weight_g=100.0)
    assert main(["check", "--config", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["OK  "] * 6
    parts = [line[5:].split(":")[0] for line in lines]
    assert parts == ["model", "camera front", "camera left", "scale", "spool", "broker"]
    assert "320 x 240" in lines[1]
    assert "speaks MQTT 5" in lines[5]


def test_check_names_what_is_wrong_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: Callable[[], int]
) -> None:
    """A cart with nothing right gets one FAIL line for each part, each with a reason and a remedy."""
    path = tmp_path / "cart.toml"
    path.write_text(
        f"""
        store = "s001"
        cart = "s001-c01"
        [model]
        directory = "{tmp_path}/no-model"
        [[cameras]]
        name = "front"
        kind = "v4l2"
        source = "/dev/video-none"
        [scale]
        kind = "serial"
        port = "/dev/tty-none"
        [spool]
        path = "{path}/spool.db"
        [mqtt]
        host = "127.0.0.1"
        port = {free_port()}
        """
    )
    assert main(["check", "--config", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["FAIL"] * 5
    assert all(" — " in line for line in lines)
    assert "/dev/video-none" in lines[1]
    assert "/dev/tty-none" in lines[2]


def test_a_cart_without_cameras_or_scale_is_told_so() -> None:
    """`check` says what a cart without them cannot do."""
    findings = {f.part: f for f in check(parse_config('store = "s"\ncart = "c"\n'), SystemClock())}
    assert not findings["cameras"].ok
    assert findings["scale"].ok
    assert "no item events" in findings["scale"].detail


def test_a_wrong_file_ends_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong setting stops `run` with its path, not with a traceback."""
    path = tmp_path / "cart.toml"
    path.write_text('store = "s"\ncart = "c"\n[mqtt]\nprot = 1\n')
    assert main(["run", "--config", str(path)]) == 1
    assert "cartwright-agent: mqtt.prot: there is no such setting" in capsys.readouterr().err
