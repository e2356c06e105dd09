"""Stories about who may say and hear what at mosquitto, with the configuration and list that we ship."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fleet_agent.check import Finding, check
from fleet_agent.config import MqttConfig, parse_config
from fleet_agent.ports import SystemClock
from fleet_agent.spool import Spool
from fleet_agent.transport_mqtt import MqttTransport
from fleet_control.errors import BrokerRefusedError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.rollouts.fleet_mqtt import MqttFleet
from fleet_protocol.rollouts import Permit, permit_topic
from tests.conftest import find_tool
from tests.fleet_agent.conftest import Broker, amqtt_broker
from tests.fleet_agent.test_transport_mqtt import Cloud, outbox, put
from tests.fleet_agent.worlds import CART, STORE, wait_for

DEPLOY = Path(__file__).parents[2] / "deploy"
OTHER_CART = "s001-c02"
PASSWORD = "only-for-this-test"  # noqa: S105  # of a broker that lives for seconds
PREFIX = f"fleet/v1/{STORE}/{CART}"

# Nobody listens to the cart in some stories; that is no refusal.
ALLOWED = {"Success", "No matching subscribers"}

pytestmark = pytest.mark.mosquitto


def locked_conf(folder: Path, port: int) -> str:
    """Return deploy/mosquitto.conf with accounts switched on as its comments say."""
    text = (DEPLOY / "mosquitto.conf").read_text()
    accounts = (
        "allow_anonymous false\n"
        f"password_file {folder}/cartwright.passwd\n"
        f"acl_file {DEPLOY / 'mosquitto.acl.example'}"
    )
    for pattern, line in (
        (r"^listener 1883 .*$", f"listener {port} 127.0.0.1"),
        (r"^persistence_location .*$", f"persistence_location {folder}/"),
        (r"^allow_anonymous true$", accounts),
    ):
        text, found = re.subn(f"(?m){pattern}", line, text)
        assert found == 1, pattern
    # Started by root, mosquitto would become another user and not reach the folder.
    return text + ("\nuser root\n" if os.geteuid() == 0 else "")


@pytest.fixture
def locked(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Broker]:
    """A mosquitto that knows ingest, the controller and two carts, and enforces the shipped access list."""
    port = free_port()
    passwords = tmp_path / "cartwright.passwd"
    for user in ("ingest", "control", CART, OTHER_CART):
        create = [] if passwords.exists() else ["-c"]
        subprocess.run(
            ["mosquitto_passwd", "-b", *create, str(passwords), user, PASSWORD],
            check=True,
            capture_output=True,
            timeout=30,
        )
    conf = tmp_path / "locked.conf"
    conf.write_text(locked_conf(tmp_path, port))
    broker = Broker([find_tool("mosquitto") or "mosquitto", "-c", str(conf)], port)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """A file as `mqtt.password_file` names it."""
    path = tmp_path / "broker.password"
    path.write_text(f"{PASSWORD}\n")
    return path


@pytest.fixture
def ingest(locked: Broker) -> Iterator[Cloud]:
    """The cloud, logged in as `ingest`."""
    cloud = Cloud(locked.port, user=("ingest", PASSWORD))
    yield cloud
    cloud.close()


class Speaker:
    """A client of one account that notes what it hears and what the broker answers."""

    def __init__(self, port: int, user: str) -> None:
        self.heard: list[str] = []
        self.answers: dict[int, str] = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{user}-test", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(user, PASSWORD)
        self._client.on_message = lambda _c, _d, message: self.heard.append(message.topic)
        self._client.on_publish = lambda _c, _d, mid, why, _p: self.answers.update({mid: str(why)})
        self._granted = False
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_subscribe(self, *_: object) -> None:
        self._granted = True

    def listen(self, topic: str) -> None:
        """Subscribe, and wait for the answer; mosquitto grants everything and then tells nothing."""
        self._client.subscribe(topic, qos=1)
        wait_for(lambda: self._granted)

    def say(self, topic: str, *, retain: bool = False) -> str:
        """Publish and return the broker's answer."""
        sent = self._client.publish(topic, b"{}", qos=1, retain=retain)
        wait_for(lambda: sent.mid in self.answers)
        return self.answers[sent.mid]

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def speak(locked: Broker) -> Iterator[Callable[[str], Speaker]]:
    """Log in with an account."""
    opened: list[Speaker] = []

    def log_in(user: str) -> Speaker:
        opened.append(Speaker(locked.port, user))
        return opened[-1]

    yield log_in
    for speaker in opened:
        speaker.close()


def test_a_cart_may_speak_only_for_itself(speak: Callable[[str], Speaker]) -> None:
    """Under the shipped list a cart writes its own four channels and nobody else's, nor any watermark."""
    cart = speak(CART)
    own = {channel: cart.say(f"{PREFIX}/{channel}") for channel in ("tel", "evt", "upd", "state")}
    assert set(own.values()) <= ALLOWED
    others = [f"fleet/v1/{STORE}/{OTHER_CART}/{channel}" for channel in ("tel", "evt", "upd", "state", "ack")]
    refused = {cart.say(topic) for topic in (*others, f"{PREFIX}/ack", f"{PREFIX}/desired", "elsewhere")}
    assert refused == {"Not authorized"}


def test_a_cart_hears_only_its_own_watermark(speak: Callable[[str], Speaker]) -> None:
    """Subscribed to everything, a cart hears its own `ack` and nothing of another cart."""
    cart, other, ingest_ = speak(CART), speak(OTHER_CART), speak("ingest")
    cart.listen("#")
    other.say(f"fleet/v1/{STORE}/{OTHER_CART}/evt")
    assert ingest_.say(f"fleet/v1/{STORE}/{OTHER_CART}/ack", retain=True) in ALLOWED
    assert ingest_.say(f"{PREFIX}/ack", retain=True) in ALLOWED
    wait_for(lambda: bool(cart.heard))
    assert cart.heard == [f"{PREFIX}/ack"]


def test_a_cart_hears_its_own_order_and_every_permit_and_writes_neither(
    speak: Callable[[str], Speaker],
) -> None:
    """Nobody but the controller says which model runs: neither a cart that was taken over, nor ingest."""
    cart, ingest_, control = speak(CART), speak("ingest"), speak("control")
    permit, other = permit_topic("autumn"), f"fleet/v1/{STORE}/{OTHER_CART}/desired"
    cart.listen("#")
    for topic in (other, f"{PREFIX}/desired", permit):
        assert cart.say(topic, retain=True) == "Not authorized"
        assert ingest_.say(topic, retain=True) == "Not authorized"
        assert control.say(topic, retain=True) in ALLOWED
    wait_for(lambda: len(cart.heard) == 2)
    assert cart.heard == [f"{PREFIX}/desired", permit]


def test_the_controller_hears_what_it_steers_by_and_speaks_for_no_cart(
    speak: Callable[[str], Speaker],
) -> None:
    """It reads births, steps and its own words, not telemetry, and writes neither births nor watermarks."""
    cart, control = speak(CART), speak("control")
    control.listen("fleet/v1/#")
    for channel in ("tel", "evt", "state", "upd"):
        cart.say(f"{PREFIX}/{channel}")
        assert control.say(f"{PREFIX}/{channel}") == "Not authorized"
    assert control.say(f"{PREFIX}/ack") == "Not authorized"
    own = [permit_topic("autumn"), f"{PREFIX}/desired"]
    assert all(control.say(topic) in ALLOWED for topic in own)
    wait_for(lambda: len(control.heard) == 4)
    assert control.heard == [f"{PREFIX}/state", f"{PREFIX}/upd", *own]


def test_a_controller_with_the_wrong_account_says_so_instead_of_believing_that_carts_were_told(
    locked: Broker,
) -> None:
    """The controller's own connection works with its account, and names what another may not write."""
    permit = Permit(rollout="autumn", generation=1, state="paused", until=1)
    fleets = {
        user: MqttFleet(
            BrokerAddress("127.0.0.1", locked.port, username=user, password=PASSWORD),
            client_id=f"controller-{user}",
            now_ms=lambda: 1,
        )
        for user in ("control", "ingest")
    }
    for fleet in fleets.values():
        fleet.start()
        assert fleet.wait_ready(20)
    assert fleets["control"].tell([permit], 20) == 1
    with pytest.raises(BrokerRefusedError, match="autumn/permit: Not authorized"):
        fleets["ingest"].tell([permit], 20)
    for fleet in fleets.values():
        fleet.stop()


def test_ingest_hears_every_cart_and_speaks_for_none(speak: Callable[[str], Speaker]) -> None:
    """The account of ingest reads what all carts say, and writes watermarks only."""
    cart, other, ingest_ = speak(CART), speak(OTHER_CART), speak("ingest")
    ingest_.listen("fleet/v1/#")
    cart.say(f"{PREFIX}/evt")
    other.say(f"fleet/v1/{STORE}/{OTHER_CART}/state")
    wait_for(lambda: len(ingest_.heard) == 2)
    assert ingest_.heard == [f"{PREFIX}/evt", f"fleet/v1/{STORE}/{OTHER_CART}/state"]
    assert ingest_.say(f"{PREFIX}/evt") == "Not authorized"


def running_cart(port: int, password_file: Path) -> MqttTransport:
    """Return the way of a cart with an account."""
    config = MqttConfig(
        host="127.0.0.1", port=port, username=CART, password_file=str(password_file), reconnect_min_s=0.05
    )
    return MqttTransport(config, client_id=CART, clock=SystemClock())


def broker_finding(port: int, user: str, password_file: Path, protocol: str = "auto") -> Finding:
    """Return what `check` says about the broker for a cart that logs in as a user."""
    text = f"""
        store = "{STORE}"
        cart = "{CART}"
        [model]
        directory = "/nowhere"
        [mqtt]
        host = "127.0.0.1"
        port = {port}
        protocol = "{protocol}"
        username = "{user}"
        password_file = "{password_file}"
    """
    return {finding.part: finding for finding in check(parse_config(text), SystemClock())}["broker"]


def test_check_beside_a_running_cart_tries_all_and_disturbs_nothing(
    locked: Broker, ingest: Cloud, spool: Spool, password_file: Path
) -> None:
    """With accounts, a cart delivers; `check` hears its watermark, may publish, and does not push it out."""
    before = broker_finding(locked.port, CART, password_file)
    assert before.ok
    assert before.detail.endswith("speaks MQTT 5; may publish; no watermark is there to be read yet")
    way = running_cart(locked.port, password_file)
    way.start(outbox(spool))
    put(spool, way, 0, 5)
    wait_for(lambda: spool.messages == 0)
    beside = broker_finding(locked.port, CART, password_file)
    assert beside.ok
    assert beside.detail.endswith("speaks MQTT 5; may publish; its watermark is there")
    old = broker_finding(locked.port, CART, password_file, protocol="3.1.1")
    assert old.ok
    assert "whether it may publish, MQTT 3.1.1 does not say; its watermark is there" in old.detail
    put(spool, way, 5, 10)
    wait_for(lambda: spool.messages == 0)
    assert [(s.online, s.session) for s in ingest.memory.states] == [(True, 1)]
    way.stop(5.0)


def test_check_names_a_broker_that_lets_nobody_hear_watermarks(free_port: Callable[[], int]) -> None:
    """A broker that refuses the subscription, as amqtt does, is a FAIL: nothing would ever be confirmed."""
    broker = amqtt_broker(free_port(), only_topic="fleet/v1/+/+/evt")
    broker.start()
    text = f"""
        store = "{STORE}"
        cart = "{CART}"
        [model]
        directory = "/nowhere"
        [mqtt]
        host = "127.0.0.1"
        port = {broker.port}
    """
    found = {finding.part: finding for finding in check(parse_config(text), SystemClock())}["broker"]
    broker.kill()
    assert not found.ok
    assert f"may not read {PREFIX}/ack" in found.detail
    assert "access list" in found.remedy


def test_check_names_an_account_that_may_not_speak_for_the_cart(locked: Broker, password_file: Path) -> None:
    """A user name that is not the cart's id is a FAIL that names the topic and the access list."""
    found = broker_finding(locked.port, OTHER_CART, password_file)
    assert not found.ok
    assert f"may not write {PREFIX}/state: Not authorized" in found.detail
    assert "mosquitto.acl.example" in found.remedy


def test_publishing_that_is_refused_is_counted_and_loses_nothing(
    locked: Broker, spool: Spool, password_file: Path
) -> None:
    """A cart with a foreign account keeps its messages and counts what the broker refused."""
    problems: list[str] = []
    config = MqttConfig(
        host="127.0.0.1", port=locked.port, username=OTHER_CART, password_file=str(password_file)
    )
    way = MqttTransport(config, client_id=CART, clock=SystemClock())
    way.start(outbox(spool, on_problem=problems.append))
    put(spool, way, 0, 3)
    wait_for(lambda: "publish_refused" in problems)
    way.stop(1.0)
    assert spool.messages == 3
