"""Real brokers for the stories of this folder."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet_control.ingest.addresses import BrokerAddress

DEPLOYED_CONF = Path(__file__).parents[2] / "deploy" / "mosquitto.conf"
_AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
config = {
    "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}
async def serve():
    await Broker(config).start()
    await asyncio.Event().wait()
asyncio.run(serve())
"""


@dataclass
class RunningBroker:
    """A broker process that can be killed and started again on the same port."""

    argv: list[str]
    address: BrokerAddress
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start and wait until it listens."""
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection((self.address.host, self.address.port), 1).close()
            except OSError:
                assert self.process.poll() is None, "the broker ended"
                time.sleep(0.02)
            else:
                return
        pytest.fail("the broker does not listen")

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def running(argv: list[str], port: int) -> Iterator[RunningBroker]:
    """Run a broker for a while."""
    broker = RunningBroker(argv, BrokerAddress("127.0.0.1", port))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def deployed_conf(folder: Path, port: int) -> str:
    """Return deploy/mosquitto.conf with only its port and its folder changed."""
    text = DEPLOYED_CONF.read_text()
    text, ports = re.subn(r"(?m)^listener 1883 .*$", f"listener {port} 127.0.0.1", text)
    text, folders = re.subn(r"(?m)^persistence_location .*$", f"persistence_location {folder}/", text)
    assert (ports, folders) == (1, 1)
    # Started by root, mosquitto would become another user and not reach the folder.
    return text + ("\nuser root\n" if os.geteuid() == 0 else "")


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[RunningBroker]:
    """Run mosquitto with the configuration that we ship."""
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(deployed_conf(tmp_path, port))
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    assert program
    with running([program, "-c", str(conf)], port) as broker:
        yield broker


@pytest.fixture
def amqtt(free_port: Callable[[], int]) -> Iterator[RunningBroker]:
    """Run amqtt, which speaks MQTT 3.1.1 only."""
    port = free_port()
    with running([sys.executable, "-W", "ignore", "-c", _AMQTT, str(port)], port) as broker:
        yield broker
