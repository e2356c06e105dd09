"""Stories about real brokers."""

import gc
import json
import random
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleet_agent.config import MqttConfig
from fleet_agent.delivery import Delivery
from fleet_agent.errors import SpoolError, TransportError
from fleet_agent.ports import Outgoing, SystemClock
from fleet_agent.spool import Spool
from fleet_agent.transport_memory import MemoryCloud
from fleet_agent.transport_mqtt import MqttTransport, read_password
from fleet_protocol.messages import CartState, Events
from fleet_protocol.rollouts import PERMIT_FILTER, permit_topic
from tests.conftest import find_tool
from tests.fleet_agent.conftest import Broker, amqtt_broker
from tests.fleet_agent.worlds import CART, STORE, events, open_spool, wait_for

PREFIX = f"fleet/v1/{STORE}/{CART}"
ORDERS = (f"{PREFIX}/desired", PERMIT_FILTER)


class Cloud:
    """An ingest in miniature: stores what arrives and publishes the watermark."""

    def __init__(self, port: int, ca_file: Path | None = None, user: tuple[str, str] | None = None) -> None:
        self.memory = MemoryCloud()
        self.acknowledge = True
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="test-cloud", clean_session=False)
        if ca_file is not None:
            self._client.tls_set(str(ca_file))
        if user is not None:
            self._client.username_pw_set(*user)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("fleet/v1/+/+/+", qos=1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/ack"):
            return
        with self._lock:
            self.memory.receive(Outgoing(message.topic, bytes(message.payload)))
            if self.acknowledge:
                client.publish(f"{PREFIX}/ack", self.memory.watermark(), qos=1, retain=True)

    def stored_ids(self) -> list[str]:
        """Return the ids of all events stored, once for each message."""
        with self._lock:
            return [m.cols.id[0] for m in self.memory.of("evt") if isinstance(m, Events)]

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def state(*, online: bool, session: int) -> CartState:
    """Return a state of the bench cart."""
    return CartState(v=1, online=online, store=STORE, cart=CART, boot="a" * 16, session=session)


def outbox(
    spool: Spool,
    resend_after_s: float = 30.0,
    kind: type[Delivery] = Delivery,
    on_problem: Callable[[str], None] = lambda _: None,
) -> Delivery:
    """Return a delivery over a spool."""
    return kind(
        spool,
        state,
        store=STORE,
        cart=CART,
        max_in_flight=16,
        resend_after_s=resend_after_s,
        on_problem=on_problem,
    )


def transport(port: int, **settings: object) -> MqttTransport:
    """Return a transport with short waits."""
    config = MqttConfig(
        host="127.0.0.1",
        port=port,
        reconnect_min_s=0.05,
        reconnect_max_s=0.2,
        **settings,  # type: ignore[arg-type]
    )
    return MqttTransport(config, client_id=f"cartwright-{STORE}-{CART}", clock=SystemClock())


def put(spool: Spool, way: MqttTransport, first: int, last: int) -> None:
    """Append events e<first> .. e<last - 1>."""
    for i in range(first, last):
        spool.append("evt", partial(events, spool.boot_id, event_id=f"e{i}"))
        way.wake()


@pytest.fixture
def cloud(mosquitto: Broker) -> Iterator[Cloud]:
    """A cloud at mosquitto."""
    opened = Cloud(mosquitto.port)
    yield opened
    opened.close()


@pytest.mark.mosquitto
def test_events_arrive_are_confirmed_and_deleted(mosquitto: Broker, cloud: Cloud, spool: Spool) -> None:
    """Over MQTT 5: what is appended arrives once, and the watermark empties the spool."""
    way = transport(mosquitto.port)
    way.start(outbox(spool))
    put(spool, way, 0, 50)
    wait_for(lambda: spool.messages == 0)
    assert cloud.stored_ids() == [f"e{i}" for i in range(50)]
    assert way.protocol == "5"
    way.stop(5.0)
    wait_for(lambda: cloud.memory.states[-1].reason == "stopped")
    assert [s.online for s in cloud.memory.states] == [True, False]


@pytest.mark.mosquitto
def test_a_broker_that_dies_and_forgets_loses_nothing(mosquitto: Broker, cloud: Cloud, spool: Spool) -> None:
    """A broker that is killed twice, with what it had acknowledged, delays events and loses none."""
    way = transport(mosquitto.port)
    way.start(outbox(spool, resend_after_s=1.0))
    cloud.acknowledge = False
    put(spool, way, 0, 30)
    wait_for(lambda: len(cloud.stored_ids()) > 5)
    mosquitto.kill()
    put(spool, way, 30, 60)
    mosquitto.start()
    cloud.acknowledge = True
    wait_for(lambda: way.connected)
    mosquitto.kill()
    wait_for(lambda: not way.connected)
    mosquitto.start()
    wait_for(lambda: spool.messages == 0, 40)
    assert sorted(cloud.stored_ids()) == sorted(f"e{i}" for i in range(60))
    sessions = [s.session for s in cloud.memory.states if s.online]
    assert sessions == sorted(sessions)
    assert len(set(sessions)) > 1
    way.stop(5.0)


@pytest.mark.mosquitto
def test_a_cart_that_vanishes_leaves_its_will(mosquitto: Broker, cloud: Cloud, spool: Spool) -> None:
    """A cart cut off without a farewell is reported offline by the broker, with its session's number."""
    way = transport(mosquitto.port)
    way.start(outbox(spool))
    wait_for(lambda: bool(cloud.memory.states))
    # Another client of the same name pushes the cart out, as a broken connection would.
    double = transport(mosquitto.port)
    double.probe()
    wait_for(lambda: any(not s.online for s in cloud.memory.states))
    will = next(s for s in cloud.memory.states if not s.online)
    assert (will.session, will.reason) == (1, None)
    way.stop(5.0)
    double.stop(0.0)


@pytest.mark.mosquitto
def test_a_cart_that_has_changed_is_born_again_without_having_died(
    mosquitto: Broker, cloud: Cloud, spool: Spool
) -> None:
    """A renewed connection has the next session, leaves no will, and what was in flight arrives."""
    way = transport(mosquitto.port)
    way.start(outbox(spool))
    wait_for(lambda: bool(cloud.memory.states))
    put(spool, way, 0, 20)
    way.renew()
    wait_for(lambda: len(cloud.memory.states) == 2)
    put(spool, way, 20, 40)
    wait_for(lambda: spool.messages == 0)
    assert [(s.online, s.session) for s in cloud.memory.states] == [(True, 1), (True, 2)]
    assert sorted(cloud.stored_ids()) == sorted(f"e{i}" for i in range(40))
    way.stop(5.0)


class FullDisk(Delivery):
    """An outbox whose spool fails as soon as the cart is connected."""

    def take(self, now_s: float) -> list[Outgoing]:
        """Fail as a full disk does."""
        msg = f"the disk is full at {now_s}"
        raise SpoolError(msg)


@pytest.mark.mosquitto
def test_a_cart_whose_spool_fails_is_not_said_to_be_online(
    mosquitto: Broker, cloud: Cloud, spool: Spool
) -> None:
    """A connection that ends by a fault is cut, so that the broker publishes the will."""
    way = transport(mosquitto.port)
    way.start(outbox(spool, kind=FullDisk))
    wait_for(lambda: any(not s.online and s.reason is None for s in cloud.memory.states))
    way.stop(1.0)


class FaultyOnce(Delivery):
    """An outbox with a bug that shows at the first messages, and again at the first watermark."""

    faults: int = 0

    def take(self, now_s: float) -> list[Outgoing]:
        """Fail once, for a reason that nobody foresaw."""
        if self.faults == 0:
            self.faults += 1
            msg = "a bug while sending"
            raise RuntimeError(msg)
        return super().take(now_s)

    def on_received(self, topic: str, payload: bytes) -> None:
        """Fail once as well."""
        if self.faults == 1:
            self.faults += 1
            msg = "a bug while receiving"
            raise RuntimeError(msg)
        super().on_received(topic, payload)


@pytest.mark.mosquitto
def test_a_bug_in_the_outbox_costs_a_connection_not_the_cart(
    mosquitto: Broker, cloud: Cloud, spool: Spool
) -> None:
    """After an exception nobody foresaw the socket is cut, the will is sent, and the cart comes back."""
    way = transport(mosquitto.port)
    box = outbox(spool, kind=FaultyOnce)
    way.start(box)
    put(spool, way, 0, 20)
    wait_for(lambda: spool.messages == 0)
    assert isinstance(box, FaultyOnce)
    assert box.faults == 2
    assert sorted(cloud.stored_ids()) == sorted(f"e{i}" for i in range(20))
    sessions = {s.session for s in cloud.memory.states if s.online}
    wills = {s.session for s in cloud.memory.states if not s.online and s.reason is None}
    assert len(sessions) == 3
    assert wills <= sessions
    assert len(wills) == 2
    way.stop(5.0)


class Ceilings(random.Random):
    """Jitter that notes how long each wait might have been, and waits briefly."""

    def __init__(self) -> None:
        super().__init__(7)
        self.seen: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        """Note the longest wait."""
        self.seen.append(b)
        return min(a, 0.01)


@pytest.mark.mosquitto
def test_two_carts_of_one_name_do_not_storm_the_broker(mosquitto: Broker, tmp_path: Path) -> None:
    """They push each other out; each waits longer each time, although every connection was accepted."""
    config = MqttConfig(host="127.0.0.1", port=mosquitto.port, reconnect_min_s=0.05, reconnect_max_s=60.0)
    ceilings, spools, ways = Ceilings(), [], []
    for n in (1, 2):
        spools.append(open_spool(tmp_path / f"{n}.db"))
        ways.append(MqttTransport(config, client_id=CART, clock=SystemClock(), rng=ceilings))
        ways[-1].start(outbox(spools[-1]))
    wait_for(lambda: len(ceilings.seen) >= 8)
    for way in ways:
        way.stop(1.0)
    for spool in spools:
        spool.close()
    # The two count for themselves, so among eight waits of both the longest is at least the fourth of one.
    assert max(ceilings.seen) >= 0.05 * 2**4
    assert min(ceilings.seen) == pytest.approx(0.1)


def test_a_cart_that_may_not_hear_its_watermark_is_not_online(
    free_port: Callable[[], int], spool: Spool
) -> None:
    """A refused subscription is counted and tried again; when it is granted everything is delivered."""
    port = free_port()
    problems: list[str] = []
    locked, open_ = amqtt_broker(port, only_topic="fleet/v1/+/+/evt"), amqtt_broker(port)
    locked.start()
    way = transport(port)
    way.start(outbox(spool, on_problem=problems.append))
    put(spool, way, 0, 5)
    wait_for(lambda: problems.count("ack_refused") >= 2)
    assert not way.connected
    locked.kill()
    open_.start()
    cloud = Cloud(port)
    # Each try at the wrong version of MQTT takes seconds before the other one's turn.
    wait_for(lambda: spool.messages == 0, timeout_s=60.0)
    assert set(problems) == {"ack_refused"}
    assert len(cloud.stored_ids()) == 5
    way.stop(5.0)
    cloud.close()
    open_.kill()


class Ordered(Delivery):
    """An outbox that asks for orders, and notes them and when it was born."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.heard: list[tuple[str, bytes]] = []
        super().__init__(*args, **kwargs, orders=ORDERS, on_order=lambda *order: self.heard.append(order))

    def on_connected(self) -> Outgoing:
        """Note it."""
        self.heard.append(("born", b""))
        return super().on_connected()


@pytest.mark.mosquitto
def test_orders_that_wait_at_the_broker_are_heard_with_their_topics(mosquitto: Broker, spool: Spool) -> None:
    """Retained ones come before the birth or soon after it, later ones as they are published."""
    orders = {f"{PREFIX}/desired": b"which", permit_topic("r1"): b"go", permit_topic("r2"): b"wait"}
    operator = paho.Client(CallbackAPIVersion.VERSION2, client_id="operator")
    operator.connect("127.0.0.1", mosquitto.port)
    operator.loop_start()
    for topic, payload in orders.items():
        operator.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)
    way = transport(mosquitto.port)
    box = outbox(spool, kind=Ordered)
    assert isinstance(box, Ordered)
    way.start(box)
    wait_for(lambda: len(box.heard) == 4)
    assert dict(box.heard) == {**orders, "born": b""}
    operator.publish(permit_topic("r1"), b"stop", qos=1, retain=True).wait_for_publish(10)
    wait_for(lambda: box.heard[-1] == (permit_topic("r1"), b"stop"))
    way.stop(5.0)
    operator.disconnect()
    operator.loop_stop()


def test_a_cart_that_may_not_hear_orders_delivers_all_the_same(
    free_port: Callable[[], int], spool: Spool
) -> None:
    """A broker with an older access list grants the watermark only: said once, over many connections."""
    broker = amqtt_broker(free_port(), only_topic=f"{PREFIX}/ack")
    broker.start()
    problems: list[str] = []
    way = transport(broker.port)
    box = outbox(spool, on_problem=problems.append, kind=Ordered)
    assert isinstance(box, Ordered)
    way.start(box)
    for births in (1, 2):
        wait_for(partial(_heard, box, births))
        way.renew()
    wait_for(lambda: len(box.heard) == 3)
    assert way.connected
    assert problems == ["orders_refused"]
    way.stop(5.0)
    broker.kill()


def _heard(box: Ordered, n: int) -> bool:
    return len(box.heard) == n


class CuttingBroker:
    """Grants the watermark, and cuts the connection of whoever asks for more."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.births = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                with line, suppress(OSError):
                    self._talk(line)

    def _talk(self, line: socket.socket) -> None:
        line.settimeout(20)
        subscriptions = 0
        while packet := line.recv(4096):
            kind = packet[0] & 0xF0
            if kind == 0x10:
                line.sendall(b"\x20\x02\x00\x00")
            elif kind == 0x80:
                subscriptions += 1
                if subscriptions > 1:
                    return
                line.sendall(b"\x90\x03" + packet[2:4] + b"\x01")
            elif kind == 0x30:
                self.births += 1

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


def test_a_broker_that_cuts_whom_it_refuses_is_not_asked_for_ever(spool: Spool) -> None:
    """After a few cuts the cart connects without asking for orders, and says so once."""
    broker = CuttingBroker()
    problems: list[str] = []
    way = transport(broker.port, protocol="3.1.1")
    way.start(outbox(spool, on_problem=problems.append, kind=Ordered))
    wait_for(lambda: broker.births > 0)
    assert problems == ["orders_refused"]
    way.stop(1.0)
    broker.close()


@pytest.mark.mosquitto
def test_a_wrong_password_is_said_without_the_password(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """A refused log-in is an error that does not repeat the password."""
    port = free_port()
    (tmp_path / "passwords").write_text("")
    (tmp_path / "passwords").chmod(0o600)
    conf = tmp_path / "locked.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {tmp_path}/passwords\nuser root\n"
    )
    broker = Broker([find_tool("mosquitto") or "mosquitto", "-c", str(conf)], port)
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("tell-nobody\n")
    way = transport(port, username="cart", password_file=str(secret))
    with pytest.raises(TransportError, match="refused") as refused:
        way.probe()
    assert "tell-nobody" not in str(refused.value)
    way.stop(0.0)
    broker.kill()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


# paho leaves the socket of a refused handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.mosquitto
def test_tls_delivers_and_a_stranger_is_refused(
    tmp_path: Path, free_port: Callable[[], int], spool: Spool
) -> None:
    """Over TLS messages arrive; a broker whose certificate nobody vouches for gets none."""
    cert, key = certificate(tmp_path)
    port = free_port()
    conf = tmp_path / "tls.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\ncertfile {cert}\nkeyfile {key}\n"
    )
    broker = Broker([find_tool("mosquitto") or "mosquitto", "-c", str(conf)], port)
    broker.start()
    stranger = transport(port, tls=True)
    with pytest.raises(TransportError, match="certificate"):
        stranger.probe()
    stranger.stop(0.0)
    gc.collect()
    cloud = Cloud(port, ca_file=cert)
    way = transport(port, tls=True, ca_file=str(cert))
    way.start(outbox(spool))
    put(spool, way, 0, 100)
    wait_for(lambda: spool.messages == 0)
    assert len(cloud.stored_ids()) == 100
    way.stop(5.0)
    cloud.close()
    broker.kill()


def test_a_broker_of_the_old_protocol_is_spoken_to(amqtt: Broker, spool: Spool) -> None:
    """Where MQTT 5 is not understood, as by amqtt, the cart falls back to 3.1.1 and delivers."""
    cloud = Cloud(amqtt.port)
    way = transport(amqtt.port)
    way.start(outbox(spool))
    put(spool, way, 0, 20)
    wait_for(lambda: spool.messages == 0)
    assert way.protocol == "3.1.1"
    assert sorted(cloud.stored_ids()) == sorted(f"e{i}" for i in range(20))
    way.stop(5.0)
    cloud.close()


def test_an_unreachable_broker_is_an_error_of_ours(free_port: Callable[[], int]) -> None:
    """`check` names the address that does not answer."""
    port = free_port()
    way = transport(port)
    with pytest.raises(TransportError, match=f"127.0.0.1:{port}"):
        way.probe()
    way.stop(0.0)


def test_passwords_come_from_where_the_settings_say(tmp_path: Path) -> None:
    """A variable or the first line of a file; a missing one is named."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret\nsecond line\n")
    assert read_password(MqttConfig()) is None
    assert read_password(MqttConfig(username="u", password_file=str(secret))) == "s3cret"
    by_variable = MqttConfig(username="u", password_env="PW")  # noqa: S106  # a variable's name
    assert read_password(by_variable, {"PW": "x"}) == "x"
    with pytest.raises(TransportError, match="PW"):
        read_password(by_variable, {})
    with pytest.raises(TransportError, match="nowhere"):
        read_password(MqttConfig(username="u", password_file=str(tmp_path / "nowhere")), {})


def test_stopping_without_a_broker_is_quick(free_port: Callable[[], int], spool: Spool) -> None:
    """A cart that never reached its broker still stops cleanly."""
    way = transport(free_port())
    way.start(outbox(spool))
    put(spool, way, 0, 3)
    way.stop(0.5)
    assert spool.messages == 3
    assert not way.connected


def test_the_will_is_plain_json(spool: Spool) -> None:
    """The retained state is readable by people at the broker."""
    plan = outbox(spool).plan_connection()
    assert json.loads(plan.will.payload)["online"] is False
