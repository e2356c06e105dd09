"""What the cart reports, where it is kept, and the broker it goes to."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from fleet_agent.config.kinds import Count, Port, Positive, doc


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """What the cart reports about itself."""

    window_s: Positive = field(default=60.0, metadata=doc("Length of a telemetry window."))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """The database of messages that the cloud has not confirmed."""

    path: str = field(
        default="/var/lib/cartwright/spool.db", metadata=doc("File of the spool; one per cart.")
    )
    max_tel_bytes: Count = field(default=8_000_000, metadata=doc("Most bytes of telemetry kept."))
    max_tel_messages: Count = field(default=20_000, metadata=doc("Most telemetry messages kept."))
    max_evt_bytes: Count = field(default=64_000_000, metadata=doc("Most bytes of events kept."))
    max_evt_messages: Count = field(default=200_000, metadata=doc("Most event messages kept."))
    max_upd_bytes: Count = field(default=1_000_000, metadata=doc("Most bytes of update reports kept."))
    max_upd_messages: Count = field(default=2_000, metadata=doc("Most update reports kept."))


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """The broker."""

    host: str = field(default="localhost", metadata=doc("Name or address of the broker."))
    port: Port = field(default=1883, metadata=doc("TCP port; 8883 is usual with TLS."))
    protocol: Literal["auto", "5", "3.1.1"] = field(
        default="auto", metadata=doc("MQTT version; `auto` tries 5 and falls back to 3.1.1.")
    )
    username: str = field(
        default="",
        metadata=doc("User name; the cart's id where the access list in deploy/ is used; empty: anonymous."),
    )
    password_env: str = field(default="", metadata=doc("Name of the variable that holds the password."))
    password_file: str = field(default="", metadata=doc("File that holds the password in its first line."))
    tls: bool = field(default=False, metadata=doc("Encrypt the connection and check the broker's name."))
    ca_file: str = field(default="", metadata=doc("Certificates to trust; empty: the system's."))
    cert_file: str = field(default="", metadata=doc("Certificate of the cart, for brokers that ask for one."))
    key_file: str = field(default="", metadata=doc("Private key of that certificate."))
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = field(
        default=30, metadata=doc("A silent connection is given up after one and a half of this.")
    )
    connect_timeout_s: Positive = field(default=5.0, metadata=doc("Longest wait for the broker's answer."))
    reconnect_min_s: Positive = field(default=0.5, metadata=doc("First wait before connecting again."))
    reconnect_max_s: Positive = field(
        default=60.0, metadata=doc("Longest such wait; each failure doubles it, with jitter.")
    )
    max_in_flight: Annotated[int, Meta(ge=1, le=1000)] = field(
        default=64, metadata=doc("Messages sent and not yet confirmed by the cloud, at most.")
    )
    resend_after_s: Positive = field(
        default=30.0, metadata=doc("A message the cloud has not confirmed is sent again after this.")
    )
