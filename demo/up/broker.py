"""The embedded broker: mosquitto where it is installed, else amqtt from PyPI."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from demo.errors import MissingToolError
from demo.up.components import Component
from demo.up.ports import LOOPBACK
from demo.up.readiness import ReadyLine, TcpOpen

KINDS = ("auto", "mosquitto", "amqtt")

# Mosquitto's defaults (20 in flight, 1,000 queued) dropped 70 % of a burst of 10,000 messages whose
# publishers had all been told of success. No limit in flight: ingest bounds itself with its Receive
# Maximum. The queue holds the whole history of a demo while ingest is away, within a bound in bytes.
# Messages over the contract's limit must reach ingest, to be filed as dead letters.
_MOSQUITTO_CONF = """\
# Written by `cartwright up` at every start.
listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 200000
max_queued_bytes 536870912
max_packet_size 4194304
persistence true
persistence_location {folder}/
autosave_interval 30
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
{user}
"""


def find_mosquitto(environment: Mapping[str, str]) -> str | None:
    """Return the path of mosquitto, also where Debian keeps daemons."""
    return shutil.which("mosquitto", path=environment.get("PATH", "") + os.pathsep + "/usr/sbin")


def choose_kind(wish: str, environment: Mapping[str, str]) -> str:
    """Return which broker to run: `mosquitto` or `amqtt`.

    Raises:
        MissingToolError: the one that was asked for, or both, are not there.
    """
    have_mosquitto = find_mosquitto(environment) is not None
    have_amqtt = importlib.util.find_spec("amqtt") is not None
    if wish == "mosquitto" and not have_mosquitto:
        raise MissingToolError(
            "mosquitto", "install it (apt-get install mosquitto, brew install mosquitto) or use amqtt"
        )
    if wish == "amqtt" and not have_amqtt:
        raise MissingToolError("amqtt", "install it with pip install 'cartwright[demo]'")
    if not have_mosquitto and not have_amqtt:
        raise MissingToolError(
            "an MQTT broker", "install mosquitto (apt-get install mosquitto) or pip install amqtt"
        )
    if wish == "auto":
        return "mosquitto" if have_mosquitto else "amqtt"
    return wish


def broker_component(kind: str, folder: Path, port: int, environment: Mapping[str, str]) -> Component:
    """Return the broker as a component; writes mosquitto's configuration."""
    address = f"mqtt://{LOOPBACK}:{port}"
    if kind == "mosquitto":
        program, conf = str(find_mosquitto(environment)), str(_write_conf(folder, port))
        return Component("broker", (program, "-c", conf), TcpOpen(LOOPBACK, port), address, note="mosquitto")
    argv = (sys.executable, "-m", "demo.up.amqtt_broker", "--host", LOOPBACK, "--port", str(port))
    return Component("broker", argv, ReadyLine(), address, note="amqtt")


def _write_conf(folder: Path, port: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # Started by root, mosquitto would become the user `mosquitto` and not reach our folder.
    user = "user root" if os.geteuid() == 0 else ""
    conf = folder / "mosquitto.conf"
    text = _MOSQUITTO_CONF.format(port=port, host=LOOPBACK, folder=folder.resolve(), user=user)
    conf.write_text(text, encoding="utf-8")
    return conf
