"""`cartwright-agent check`: opens everything a configuration names and says what is wrong."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fleet_agent.activation.opening import trusted_by
from fleet_agent.activation.signing import verify_manifest
from fleet_agent.cameras import make_camera
from fleet_agent.config import CameraConfig, CartConfig
from fleet_agent.durable import open_regular
from fleet_agent.errors import (
    AccessRefusedError,
    AgentError,
    CameraLostError,
    RepositoryUnreachableError,
    ScaleLostError,
    UpdateError,
)
from fleet_agent.launch import client_id, load_model, model_directory
from fleet_agent.mqtt_connection import Trial
from fleet_agent.ports import Clock
from fleet_agent.quality import measure
from fleet_agent.scales import make_scale
from fleet_agent.spool_schema import probe
from fleet_agent.transport_mqtt import MqttTransport
from fleet_protocol.rollouts import PERMIT_FILTER
from fleet_protocol.topics import Topic

# Longest wait for a camera's first frame and for a scale's first reading.
FIRST_DATA_S = 5.0
# Longest wait for the server of the model repository.
CONNECT_S = 5.0
MAX_ROOT_BYTES = 1_000_000


MODEL_REMEDY = (
    "set model.directory to a folder with model.onnx and manifest.json, signed by a key in model.trusted_keys"
    " unless model.require_signature is false"
)
SCALE_REMEDY = "check [scale]: port, speed, cable, permission"
SPOOL_REMEDY = "check spool.path and its folder's permissions"
BROKER_REMEDY = "check [mqtt]: host, port, user, certificates, firewall"
REPOSITORY_REMEDY = "check [updates]: repository, root, the network; updates.enabled = false does without"
ACCESS_REMEDY = (
    "check mqtt.username (the cart's id) and the broker's access list (deploy/mosquitto.acl.example)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one part says.

    Attributes:
        part: Such as `camera front`.
        ok: Whether it works.
        detail: What was found, or what is wrong.
        remedy: What to do about it; empty when it works.
    """

    part: str
    ok: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        verdict = "OK  " if self.ok else "FAIL"
        remedy = f" — {self.remedy}" if self.remedy else ""
        return f"{verdict} {self.part}: {self.detail}{remedy}"


def check(config: CartConfig, clock: Clock) -> Iterator[Finding]:
    """Try every part of a cart, one after the other."""
    yield _try("model", lambda: _model(config), MODEL_REMEDY)
    if not config.cameras:
        yield Finding("cameras", ok=False, detail="none is configured", remedy="add a [[cameras]] table")
    for camera in config.cameras:
        yield _camera(camera, clock)
    if config.scale.kind == "none":
        yield Finding("scale", ok=True, detail="none is configured: this cart makes no item events")
    else:
        yield _try("scale", lambda: _scale(config, clock), SCALE_REMEDY)
    yield _try("spool", lambda: probe(Path(config.spool.path)), SPOOL_REMEDY)
    yield _try("broker", lambda: _broker(config, clock), BROKER_REMEDY)
    if config.updates.wanted:
        yield _try("orders", lambda: _orders(config, clock), BROKER_REMEDY)
        yield _try("repository", lambda: _repository(config), REPOSITORY_REMEDY)


def _try(part: str, trial: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(part, ok=True, detail=trial())
    except AccessRefusedError as error:
        return Finding(part, ok=False, detail=str(error), remedy=ACCESS_REMEDY)
    except AgentError as error:
        return Finding(part, ok=False, detail=str(error), remedy=remedy)


def _model(config: CartConfig) -> str:
    directory = model_directory(config)
    trusted = trusted_by(config)
    if trusted is not None:
        verify_manifest(directory, trusted)
    model = load_model(directory, threads=config.model.threads)
    model.close()
    manifest = model.manifest
    return f"{manifest.name} {manifest.version}, {len(manifest.classes)} items, digest {manifest.digest}"


def _camera(camera: CameraConfig, clock: Clock) -> Finding:
    remedy = {
        "v4l2": "check the cable, that no other program uses it, and membership of group video",
        "rtsp": "check the address, the network, and the variable named by password_env",
    }.get(camera.kind, "check the path in source")
    return _try(f"camera {camera.name}", lambda: _first_frame(camera, clock), remedy)


def _first_frame(config: CameraConfig, clock: Clock) -> str:
    camera = make_camera(config, clock)
    try:
        camera.open()
        deadline_s = clock.monotonic_s() + FIRST_DATA_S
        while (left_s := deadline_s - clock.monotonic_s()) > 0:
            frame = camera.read(left_s)
            if frame is not None:
                height, width = frame.pixels.shape[:2]
                look = measure(frame.pixels)
                return f"{width} x {height}, brightness {look.brightness:.0f} of 255"
        raise CameraLostError(config.name, f"no frame within {FIRST_DATA_S:.0f} s")
    finally:
        camera.close()


def _scale(config: CartConfig, clock: Clock) -> str:
    scale = make_scale(config.scale, clock)
    if scale is None:
        return "none"
    try:
        scale.open()
        reading = scale.read(FIRST_DATA_S)
        if reading is None:
            raise ScaleLostError(f"no reading within {FIRST_DATA_S:.0f} s")
        return "overloaded" if reading.overload else f"shows {reading.grams:.0f} g"
    finally:
        scale.close()


def _broker(config: CartConfig, clock: Clock) -> str:
    # Under another name than the running cart's, which it would push out; access goes by the user's name.
    transport = MqttTransport(config.mqtt, client_id=f"{client_id(config)}-check", clock=clock)
    topics = {channel: str(Topic(config.store, config.cart, channel)) for channel in ("ack", "state")}
    try:
        tried = transport.try_out(Trial(subscribe=topics["ack"], publish=topics["state"]))
    finally:
        transport.stop(0.0)
    heard = "its watermark is there" if tried.retained else "no watermark is there to be read yet"
    said = "may publish" if tried.publish_answered else "whether it may publish, MQTT 3.1.1 does not say"
    return f"{config.mqtt.host}:{config.mqtt.port} speaks MQTT {tried.protocol}; {said}; {heard}"


def _orders(config: CartConfig, clock: Clock) -> str:
    """Subscribe to what the cloud asks for; a broker may grant it, and deliver nothing all the same."""
    transport = MqttTransport(config.mqtt, client_id=f"{client_id(config)}-check", clock=clock)
    desired, state = (str(Topic(config.store, config.cart, channel)) for channel in ("desired", "state"))
    try:
        asked = transport.try_out(Trial(subscribe=desired, publish=state))
        transport.try_out(Trial(subscribe=PERMIT_FILTER, publish=state))
    finally:
        transport.stop(0.0)
    heard = "a model is asked for" if asked.retained else "no model is asked for, or it may not be read"
    return f"may subscribe to its desired model and to permits; {heard}"


def _repository(config: CartConfig) -> str:
    updates = config.updates
    try:
        with open_regular(Path(updates.root)) as file:
            json.loads(file.read(MAX_ROOT_BYTES))
    except (OSError, ValueError) as error:
        raise UpdateError(f"{updates.root}: {error}") from error
    address = urlsplit(updates.repository)
    port = address.port or {"https": 443, "http": 80}.get(address.scheme)
    if not address.hostname or port is None:
        raise UpdateError(f"{updates.repository} is no address of the kind https://...")
    try:
        socket.create_connection((address.hostname, port), CONNECT_S).close()
    except OSError as error:
        raise RepositoryUnreachableError(f"{address.hostname}:{port}: {error}") from error
    return f"{address.hostname}:{port} answers; what it serves is checked against {updates.root}"
