"""Carts that are not ours: by the text of the protocol alone, broken ones, and a real video file."""

import json
import re
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as mqtt
import pytest
import zstandard
from paho.mqtt.enums import CallbackAPIVersion

from fleet_protocol.limits import MAX_DECODED_BYTES, MAX_PAYLOAD_BYTES
from tests.end_to_end.conftest import Cloud
from tests.end_to_end.processes import module, running, until
from tests.end_to_end.warehouse import EVER, read_spool, stored_numbers
from training.scenes import CAMERAS, Direction, Gesture, Light, SceneRenderer, SceneState, find_item

PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
pytestmark = [pytest.mark.end_to_end, pytest.mark.mosquitto, pytest.mark.timeout(180)]


def publish(cloud: Cloud, *messages: tuple[str, bytes]) -> None:
    """Publish with QoS 1 and wait for the broker's word."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="stranger")
    client.connect("127.0.0.1", cloud.broker_port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(timeout=10)
    client.disconnect()
    client.loop_stop()


def test_a_message_written_by_hand_from_the_protocols_text_shows_up(cloud: Cloud) -> None:
    """The smallest cart of section 9, with the current time as t0."""
    section = PROTOCOL.split("## 9.", 1)[1]
    example = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert example is not None
    now_ms = int(time.time() * 1000)
    text = re.sub(r'"t0": \d+', f'"t0": {now_ms}', example[1])
    topic = re.search(r"`(fleet/v1/\S+/evt)`", section)
    assert topic is not None

    publish(cloud, (topic[1], text.encode()))

    query = f"SELECT item_id, quantity, direction, simulated FROM events WHERE event_at >= {EVER}"
    until(lambda: bool(cloud.reader.rows(query)), "the event")
    assert cloud.reader.rows(query) == [("apple-gala", 1, "add", False)]


def good(**changes: Any) -> bytes:
    """Return a message that is accepted, but for what is changed."""
    body = {
        "v": 1,
        "kind": "events",
        "store": "s1",
        "cart": "c1",
        "boot": "0" * 16,
        "seq": 0,
        "fw": "x",
        "t0": int(time.time() * 1000),
        "cols": {"id": ["a"], "ts": [0], "type": ["item"]},
    }
    return json.dumps({**body, **changes}).encode()


def test_bad_messages_are_filed_with_their_reason_and_ingest_goes_on(cloud: Cloud) -> None:
    """Malformed, oversized, a bomb, another version, another cart, another century: each by name."""
    topic = "fleet/v1/s1/c1/evt"
    bad = {
        "malformed_json": b"{not json",
        "oversized": b"{" + b" " * MAX_PAYLOAD_BYTES,
        "decompression_bomb": zstandard.compress(b" " * (MAX_DECODED_BYTES + 1)),
        "wrong_version": good(v=2),
        "foreign_cart": good(cart="c2"),
        "bad_schema": good(seq=-1),
        "bad_encoding": b"\x00\x01\x02",
        "absurd_clock": good(boot="1" * 16, t0=0),
    }

    publish(cloud, *((topic, payload) for payload in bad.values()), (topic, good(boot="2" * 16)))

    query = (
        f"SELECT reason, payload_bytes, cart_id FROM dead_letters WHERE received_at >= {EVER} ORDER BY reason"
    )
    until(lambda: len(cloud.reader.rows(query)) >= len(bad), "all dead letters")
    until(
        lambda: cloud.reader.count(f"SELECT COUNT(*) FROM events WHERE event_at >= {EVER}") == 1,
        "the good one",
    )
    assert cloud.reader.rows(query) == sorted((reason, len(payload), "c1") for reason, payload in bad.items())


def write_video(path: Path, seconds: float, fps: int) -> None:
    """Film a hand that puts a carton of milk into the cart, at the middle of the film."""
    renderer = SceneRenderer(CAMERAS[0])
    light = Light(level=0.9, kelvin=4000)
    rng = np.random.default_rng(5)
    size = renderer.render(SceneState(light=light), rng).shape
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (size[1], size[0]))
    assert video.isOpened()
    frames = int(seconds * fps)
    for frame in range(frames):
        phase = (frame / fps - seconds / 2 + 1.0) / 1.6
        hand = Gesture("milk-whole", Direction.ADD, phase=phase, yaw_deg=10, roll_deg=5, skin=1, sleeve=1)
        gestures = (hand,) if 0 <= phase <= 1 else ()
        video.write(renderer.render(SceneState(gestures=gestures, light=light), rng))
    video.release()


def write_weights(path: Path, seconds: float, at_s: float, grams: float) -> None:
    """Write what the scale says: nothing, then the item, with a touch of noise."""
    rng = np.random.default_rng(6)
    rows = (
        f"{t:.2f},{(grams if t >= at_s else 0.0) + rng.normal(0, 0.8):.2f}"
        for t in np.arange(0, seconds, 0.1)
    )
    path.write_text("\n".join(rows) + "\n")


def test_a_cart_that_watches_a_video_file_reports_the_item_that_was_put_in(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Real file, real decoder, real detector, real broker, read back through Google's client."""
    film_s = 8.0
    write_video(tmp_path / "front.avi", film_s, fps=10)
    item = find_item("milk-whole")
    write_weights(tmp_path / "weights.csv", film_s, film_s / 2, item.weight_g)
    config = tmp_path / "cart.toml"
    config.write_text(
        f"""
        store = "s9"
        cart = "s9-c1"
        [[cameras]]
        name = "front"
        kind = "video"
        source = "{tmp_path / "front.avi"}"
        fps = 10
        [scale]
        kind = "script"
        script = "{tmp_path / "weights.csv"}"
        [telemetry]
        window_s = 4
        [spool]
        path = "{tmp_path / "spool.db"}"
        [mqtt]
        host = "127.0.0.1"
        port = {cloud.broker_port}
        """
    )
    query = (
        f"SELECT item_id, quantity, direction FROM events WHERE event_at >= {EVER} AND event_type = 'item'"
        " AND cart_id = 's9-c1'"
    )

    with running(module("fleet_agent.cli", "run", "--config", str(config))) as cart:
        cart.wait_for("READY")
        until(lambda: bool(cloud.reader.rows(query)), "the item event")
        assert cart.stop() == 0, cart.output

    assert cloud.reader.rows(query) == [("milk-whole", 1, "add")]
    for sent in read_spool(tmp_path / "spool.db", "s9-c1"):
        stored = [seq for seq in stored_numbers(cloud.reader, sent) if seq not in sent.held]
        assert stored == [seq for seq in range(sent.messages) if seq not in sent.held]
