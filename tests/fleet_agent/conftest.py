"""Brokers and spools for the stories of this folder."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_agent.spool import Spool
from tests.conftest import find_tool
from tests.fleet_agent.worlds import open_spool

_AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def serve():
    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}},
        "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
            **({"amqtt.plugins.topic_checking.TopicAccessControlListPlugin":
                {"acl": {"anonymous": [sys.argv[2]]}}} if sys.argv[2:] else {}),
        },
    })
    await broker.start()
    await asyncio.Event().wait()
asyncio.run(serve())
"""


class Broker:
    """A broker process on a port of its own; can be killed and started again."""

    def __init__(self, command: list[str], port: int) -> None:
        self._command = command
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "the broker does not listen"
                assert self._process.poll() is None, "the broker ended"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Broker]:
    """A running mosquitto without persistence: it forgets everything when it is killed."""
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    broker = Broker([find_tool("mosquitto") or "mosquitto", "-c", str(conf)], port)
    broker.start()
    yield broker
    broker.kill()


def amqtt_broker(port: int, only_topic: str = "") -> Broker:
    """Return amqtt, which knows only MQTT 3.1.1; with a topic, it refuses every other subscription."""
    arguments = [str(port), *([only_topic] if only_topic else [])]
    return Broker([sys.executable, "-W", "ignore", "-c", _AMQTT, *arguments], port)


@pytest.fixture
def amqtt(free_port: Callable[[], int]) -> Iterator[Broker]:
    """A running amqtt, which knows only MQTT 3.1.1."""
    broker = amqtt_broker(free_port())
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool."""
    opened = open_spool(tmp_path / "spool.db")
    yield opened
    opened.close()
