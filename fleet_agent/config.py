"""Configuration of one cart: one TOML file becomes one frozen value.

Every setting is documented beside its default; `docs/configuration.md` is made from here. A key
nobody knows, a wrong type, or a number out of range is refused with the key's path.
"""

import re
import tomllib
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from fleet_agent.errors import ConfigError

Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z")]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The perception model and when it runs."""

    directory: str = field(
        default="", metadata=_doc("Folder with `model.onnx` and `manifest.json`; empty: the model shipped.")
    )
    threads: Count = field(default=1, metadata=_doc("Threads of one inference. More is faster and hotter."))
    idle_inference_fps: NotNegative = field(
        default=0.2, metadata=_doc("Inferences per second while nothing moves; 0 turns them off.")
    )
    active_inference_fps: Positive = field(
        default=6.0, metadata=_doc("Most inferences per second while the weight moves.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """One camera; `[[cameras]]` may be repeated."""

    name: Id = field(metadata=_doc("Name on the wire and on screen, such as `front`."))
    kind: Literal["video", "v4l2", "rtsp", "images"] = field(
        metadata=_doc("Video file, V4L2 device, RTSP stream, or folder of images.")
    )
    source: str = field(metadata=_doc("Path, device such as `/dev/video0`, `rtsp://` address, or folder."))
    fps: Positive = field(
        default=15.0, metadata=_doc("Frames per second taken; a live camera's other frames are not decoded.")
    )
    width: Annotated[int, Meta(ge=0)] = field(
        default=0, metadata=_doc("Width asked of a V4L2 device; 0: its own choice.")
    )
    height: Annotated[int, Meta(ge=0)] = field(
        default=0, metadata=_doc("Height asked of a V4L2 device; 0: its own choice.")
    )
    loop: bool = field(default=False, metadata=_doc("Play a file or folder again when it ends."))
    password_env: str = field(
        default="", metadata=_doc("Variable that holds `user:password` of an RTSP camera.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureConfig:
    """How frames are kept."""

    stale_after_s: Positive = field(
        default=3.0, metadata=_doc("A frame older than this is not looked at any more, and counted.")
    )
    event_before_s: NotNegative = field(
        default=1.5, metadata=_doc("Frames kept from before a weight change: the hand comes first.")
    )
    event_after_s: NotNegative = field(
        default=1.5, metadata=_doc("Frames used from after the weight moved for the last time.")
    )
    event_fps: Positive = field(
        default=6.0,
        metadata=_doc("Frames per second and camera kept for weight changes. Memory grows with it."),
    )
    event_frames: Count = field(
        default=8, metadata=_doc("Most frames per camera looked at for one weight change.")
    )
    batch_window_ms: NotNegative = field(
        default=15.0, metadata=_doc("Longest wait for the other cameras' frames before an inference.")
    )
    quality_fps: Positive = field(
        default=1.0, metadata=_doc("Brightness and sharpness measurements per second and camera.")
    )
    reconnect_min_s: Positive = field(
        default=0.5, metadata=_doc("First wait before a lost camera or scale is opened again.")
    )
    reconnect_max_s: Positive = field(
        default=30.0, metadata=_doc("Longest such wait; each failure doubles it.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleConfig:
    """The load cell and what counts as a weight change."""

    kind: Literal["none", "serial", "script"] = field(
        default="none", metadata=_doc("No scale, a serial port, or a file of times and weights.")
    )
    port: str = field(default="", metadata=_doc("Serial device, such as `/dev/ttyUSB0`."))
    baud: Count = field(default=9600, metadata=_doc("Speed of the serial port in bits per second."))
    script: str = field(
        default="", metadata=_doc('CSV file with lines `seconds,grams` for `kind = "script"`.')
    )
    loop: bool = field(default=False, metadata=_doc("Play the script again when it ends."))
    settle_s: Positive = field(
        default=0.5, metadata=_doc("The weight counts as settled when it was quiet this long.")
    )
    noise_g: Positive = field(
        default=5.0,
        metadata=_doc("Standard deviation of a quiet scale, at most. Lower: never settles on a shaky cart."),
    )
    min_change_g: Positive = field(
        default=10.0, metadata=_doc("Smallest change that is an event. Lower: drift and bumps become items.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionConfig:
    """How cameras and weight become one decision."""

    accept_posterior: Share = field(
        default=0.9, metadata=_doc("Posterior from which an item is booked; below it the shopper is asked.")
    )
    accept_margin: Share = field(
        default=0.2, metadata=_doc("Lead over the second hypothesis that booking needs too.")
    )
    camera_correlation: Share = field(
        default=0.6, metadata=_doc("How alike the cameras' errors are: 1 counts all cameras as one.")
    )
    frame_correlation: Share = field(
        default=0.8, metadata=_doc("How alike the errors of one camera's frames are: 1 counts all as one.")
    )
    scale_sd_g: Positive = field(
        default=6.0, metadata=_doc("Standard deviation of a settled weight change of nothing.")
    )
    weight_outlier_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.02,
        metadata=_doc("Share of weight changes that say nothing about the item (a hand on the rim)."),
    )
    weight_range_g: Positive = field(
        default=20000.0, metadata=_doc("Range of the scale: how far outliers spread.")
    )
    max_quantity: Annotated[int, Meta(ge=1, le=20)] = field(
        default=4, metadata=_doc("Most pieces of one item in one movement.")
    )
    unknown_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.02, metadata=_doc("Prior share of movements of things that are not in the catalogue.")
    )
    multiple_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.1, metadata=_doc("Prior ratio of n + 1 pieces to n pieces.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """What the cart reports about itself."""

    window_s: Positive = field(default=60.0, metadata=_doc("Length of a telemetry window."))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """The database of messages that the cloud has not confirmed."""

    path: str = field(
        default="/var/lib/cartwright/spool.db", metadata=_doc("File of the spool; one per cart.")
    )
    max_tel_bytes: Count = field(default=8_000_000, metadata=_doc("Most bytes of telemetry kept."))
    max_tel_messages: Count = field(default=20_000, metadata=_doc("Most telemetry messages kept."))
    max_evt_bytes: Count = field(default=64_000_000, metadata=_doc("Most bytes of events kept."))
    max_evt_messages: Count = field(default=200_000, metadata=_doc("Most event messages kept."))
    max_upd_bytes: Count = field(default=1_000_000, metadata=_doc("Most bytes of update reports kept."))
    max_upd_messages: Count = field(default=2_000, metadata=_doc("Most update reports kept."))


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """The broker."""

    host: str = field(default="localhost", metadata=_doc("Name or address of the broker."))
    port: Port = field(default=1883, metadata=_doc("TCP port; 8883 is usual with TLS."))
    protocol: Literal["auto", "5", "3.1.1"] = field(
        default="auto", metadata=_doc("MQTT version; `auto` tries 5 and falls back to 3.1.1.")
    )
    username: str = field(default="", metadata=_doc("User name; empty: anonymous."))
    password_env: str = field(default="", metadata=_doc("Name of the variable that holds the password."))
    password_file: str = field(default="", metadata=_doc("File that holds the password in its first line."))
    tls: bool = field(default=False, metadata=_doc("Encrypt the connection and check the broker's name."))
    ca_file: str = field(default="", metadata=_doc("Certificates to trust; empty: the system's."))
    cert_file: str = field(
        default="", metadata=_doc("Certificate of the cart, for brokers that ask for one.")
    )
    key_file: str = field(default="", metadata=_doc("Private key of that certificate."))
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = field(
        default=30, metadata=_doc("A silent connection is given up after one and a half of this.")
    )
    connect_timeout_s: Positive = field(default=5.0, metadata=_doc("Longest wait for the broker's answer."))
    reconnect_min_s: Positive = field(default=0.5, metadata=_doc("First wait before connecting again."))
    reconnect_max_s: Positive = field(
        default=60.0, metadata=_doc("Longest such wait; each failure doubles it, with jitter.")
    )
    max_in_flight: Annotated[int, Meta(ge=1, le=1000)] = field(
        default=64, metadata=_doc("Messages sent and not yet confirmed by the cloud, at most.")
    )
    resend_after_s: Positive = field(
        default=30.0, metadata=_doc("A message the cloud has not confirmed is sent again after this.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CartConfig:
    """One cart."""

    store: Id = field(metadata=_doc("Store, 1 to 32 of a-z 0-9 _ -."))
    cart: Id = field(metadata=_doc("Cart, unique in the whole fleet, of the same characters."))
    simulated: bool = field(default=False, metadata=_doc("Marks everything this cart says as simulated."))
    hardware: Annotated[str, Meta(max_length=64)] = field(
        default="", metadata=_doc("What the cart is made of, for people; empty: found out.")
    )
    model: ModelConfig = field(default_factory=ModelConfig)
    cameras: tuple[CameraConfig, ...] = ()
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)


def load_config(path: Path) -> CartConfig:
    """Read a cart's TOML file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or a setting is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("", f"{path}: {error}") from error
    return parse_config(text)


def parse_config(text: str) -> CartConfig:
    """Read a cart's settings from TOML.

    Raises:
        ConfigError: not TOML, or a setting is unknown, missing, of the wrong type or out of range.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("", f"not TOML: {error}") from error
    _refuse_unknown(document, CartConfig, "")
    try:
        config = msgspec.convert(document, CartConfig)
    except msgspec.ValidationError as error:
        raise _located(str(error)) from error
    _check_together(config)
    return config


def _located(text: str) -> ConfigError:
    """Turn msgspec's sentence into ours, with the key in front."""
    why, _, where = text.partition(" - at `")
    key = where.rstrip("`").removeprefix("$").removeprefix(".")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", why)
    if missing:
        return ConfigError(f"{key}.{missing[1]}" if key else missing[1], "must be given")
    return ConfigError(key, why)


def _refuse_unknown(document: dict[str, Any], kind: type, prefix: str) -> None:
    hints = get_type_hints(kind)
    for key, value in document.items():
        if key not in hints:
            known = ", ".join(sorted(hints))
            raise ConfigError(prefix + key, f"there is no such setting; known here: {known}")
        part = hints[key]
        if is_dataclass(part) and isinstance(part, type) and isinstance(value, dict):
            _refuse_unknown(value, part, f"{prefix}{key}.")
        elif get_origin(part) is tuple and isinstance(value, list):
            for i, entry in enumerate(value):
                if isinstance(entry, dict):
                    _refuse_unknown(entry, get_args(part)[0], f"{prefix}{key}[{i}].")


def _check_together(config: CartConfig) -> None:
    _check_cameras(config.cameras)
    _check_scale(config.scale)
    _check_mqtt(config.mqtt)
    for part, low, high in (
        ("mqtt", config.mqtt.reconnect_min_s, config.mqtt.reconnect_max_s),
        ("capture", config.capture.reconnect_min_s, config.capture.reconnect_max_s),
    ):
        if low > high:
            raise ConfigError(f"{part}.reconnect_min_s", f"{low} is above reconnect_max_s, {high}")


def _check_cameras(cameras: tuple[CameraConfig, ...]) -> None:
    names = [camera.name for camera in cameras]
    for i, camera in enumerate(cameras):
        if camera.name in names[:i]:
            raise ConfigError(f"cameras[{i}].name", f"{camera.name!r} is the name of another camera too")
        if camera.kind == "rtsp" and "@" in camera.source:
            # The value is not repeated: it holds the password.
            raise ConfigError(f"cameras[{i}].source", "keep user and password out of it: use password_env")


def _check_scale(scale: ScaleConfig) -> None:
    if scale.kind == "serial" and not scale.port:
        raise ConfigError("scale.port", "a serial scale needs its device, such as /dev/ttyUSB0")
    if scale.kind == "script" and not scale.script:
        raise ConfigError("scale.script", "a scripted scale needs its file")


def _check_mqtt(mqtt: MqttConfig) -> None:
    if mqtt.password_env and mqtt.password_file:
        raise ConfigError("mqtt.password_file", "give the password one way: password_env is set too")
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        raise ConfigError("mqtt.cert_file", "cert_file and key_file belong together")
    if (mqtt.password_env or mqtt.password_file) and not mqtt.username:
        raise ConfigError("mqtt.username", "a password needs a user name")
