"""Broker addresses: `mqtt://[user[:password]@]host[:port]`, `mqtts://` for TLS."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from fleet_control.errors import AddressError

PLAIN_PORT = 1883
TLS_PORT = 8883
_EXPECTED = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT], with USER:PASSWORD@ where the broker asks"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker is and how to log in. The password is kept out of `repr` and `str`."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(text: str, password: str | None = None) -> BrokerAddress:
    """Read an address.

    Args:
        text: The address.
        password: Used where the address has a user and no password.

    Raises:
        AddressError: it cannot be read.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError(_without_password(text), _EXPECTED) from error
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/"):
        raise AddressError(_without_password(text), _EXPECTED)
    tls = parts.scheme == "mqtts"
    return BrokerAddress(
        host=parts.hostname,
        port=port or (TLS_PORT if tls else PLAIN_PORT),
        tls=tls,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else password,
    )


def _without_password(text: str) -> str:
    return text.rpartition("@")[2]
