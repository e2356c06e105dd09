"""Reads a cart's TOML file into one frozen value.

A key nobody knows, a wrong type, or a number out of range is refused with the key's path.
"""

import re
import tomllib
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from fleet_agent.config.basket import ScaleConfig
from fleet_agent.config.cameras import CameraConfig
from fleet_agent.config.cart import CartConfig
from fleet_agent.config.delivery import MqttConfig
from fleet_agent.config.updates import UpdatesConfig
from fleet_agent.errors import ConfigError


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
    key = where.rpartition("`$")[2].rstrip("`").removeprefix("$").removeprefix(".")
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
    _check_updates(config.updates)
    for part, low, high in (
        ("mqtt", config.mqtt.reconnect_min_s, config.mqtt.reconnect_max_s),
        ("capture", config.capture.reconnect_min_s, config.capture.reconnect_max_s),
    ):
        if low > high:
            raise ConfigError(f"{part}.reconnect_min_s", f"{low} is above reconnect_max_s, {high}")


def _check_updates(updates: UpdatesConfig) -> None:
    if updates.repository and not updates.root:
        raise ConfigError("updates.root", "without a trusted root nothing of a repository can be believed")
    if "@" in updates.repository:
        # The value is not repeated: it holds a password.
        raise ConfigError("updates.repository", "keep user and password out of it: what is there is signed")


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
