"""The broker's address as the demo hands it around: without the password, which goes by environment."""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from demo.errors import SettingsError
from fleet_agent.config import MqttConfig

PASSWORD_ENV = "CARTWRIGHT_BROKER_PASSWORD"  # noqa: S105  # the name of the variable, not a password
_EXPECTED = "mqtt://[USER[:PASSWORD]@]HOST[:PORT], or mqtts:// for TLS"
_PORTS = {"mqtt": 1883, "mqtts": 8883}


def split_password(address: str) -> tuple[str, str | None]:
    """Return the address without its password, and the password.

    Raises:
        SettingsError: it is no broker's address. The text does not repeat the password.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"--broker is {_EXPECTED}.") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise SettingsError(f"--broker is {_EXPECTED}.")
    user = f"{parts.username}@" if parts.username else ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    password = unquote(parts.password) if parts.password else None
    return f"{parts.scheme}://{user}{host}:{port or _PORTS[parts.scheme]}", password


def mqtt_config(address: str, environment: Mapping[str, str]) -> MqttConfig:
    """Return the settings with which a simulated cart finds the broker.

    Raises:
        SettingsError: it is no broker's address.
    """
    parts = urlsplit(split_password(address)[0])
    return MqttConfig(
        host=parts.hostname or "",
        port=parts.port or _PORTS[parts.scheme],
        username=unquote(parts.username or ""),
        password_env=PASSWORD_ENV if parts.username and PASSWORD_ENV in environment else "",
        tls=parts.scheme == "mqtts",
        # A demo's broker restarts within a second; the carts should be back as fast.
        reconnect_max_s=5.0,
    )
