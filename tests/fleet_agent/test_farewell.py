"""Stories about leaving a broker that is slow: what it has sent lies unread when the cart says goodbye."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from fleet_agent.config import MqttConfig
from fleet_agent.mqtt_connection import Connection, Dial
from fleet_agent.ports import ConnectionPlan, Outgoing, SystemClock

CONNACK = b"\x20\x02\x00\x00"
DISCONNECT = b"\xe0\x00"
PLAN = ConnectionPlan(will=Outgoing("fleet/v1/s1/c1/state", b"gone"), subscribe="fleet/v1/s1/c1/ack")


class SlowBroker:
    """Accepts a cart, sends much at once, and reads what the cart said only when it is told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = threading.Event()
        self.may_read = threading.Event()
        self.heard: bytes | OSError = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        line, _ = self._listener.accept()
        with line:
            line.settimeout(20)
            line.recv(4096)
            payload = b"x" * 1000
            topic = b"fleet/v1/s1/c1/ack"
            body = struct.pack("!H", len(topic)) + topic + payload
            size = len(body)
            message = b"\x30" + bytes([size % 128 | 128, size // 128]) + body
            line.sendall(CONNACK)
            line.sendall(message * 20)
            self.sent.set()
            assert self.may_read.wait(20)
            self.heard = self._hear(line)

    @staticmethod
    def _hear(line: socket.socket) -> bytes | OSError:
        heard = b""
        try:
            line.sendall(b"\xd0\x00")  # an answer to a cart that may have gone already
            while chunk := line.recv(4096):
                heard += chunk
        except OSError as error:
            return error
        return heard

    def close(self) -> None:
        """Wait until it has heard everything."""
        self.may_read.set()
        self._thread.join(20)
        self._listener.close()


@pytest.fixture
def broker() -> Iterator[SlowBroker]:
    """A broker on the loopback interface."""
    opened = SlowBroker()
    yield opened
    opened.close()


def test_a_goodbye_is_heard_by_a_broker_whose_messages_lie_unread(broker: SlowBroker) -> None:
    """The line is not reset under the broker's answer, which would make it publish the will."""
    ours, theirs = socket.socketpair()
    config = MqttConfig(host="127.0.0.1", port=broker.port)
    dial = Dial(config, "c1", None, "3.1.1", 5.0, SystemClock())
    connection = Connection(dial, PLAN, ours)
    connection.open()
    assert broker.sent.wait(20)
    leaving = threading.Thread(target=connection.close)
    leaving.start()
    broker.may_read.set()
    leaving.join(20)
    broker.close()
    assert isinstance(broker.heard, bytes), f"the broker met {broker.heard!r}"
    assert broker.heard.endswith(DISCONNECT)
    ours.close()
    theirs.close()


def test_a_broker_that_never_hangs_up_holds_a_cart_for_a_moment_only(broker: SlowBroker) -> None:
    """A dead link ends the wait by time, and nothing is raised."""
    ours, theirs = socket.socketpair()
    config = MqttConfig(host="127.0.0.1", port=broker.port)
    connection = Connection(Dial(config, "c1", None, "3.1.1", 5.0, SystemClock()), PLAN, ours)
    connection.open()
    leaving = threading.Thread(target=connection.close)
    leaving.start()
    leaving.join(20)
    assert not leaving.is_alive()
    ours.close()
    theirs.close()
