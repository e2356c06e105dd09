"""The controller and a real broker."""

import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fleet_control.errors import BrokerError
from fleet_control.ingest.transport_mqtt import BulkPublisher
from fleet_control.rollouts.fleet_mqtt import MqttFleet
from fleet_control.rollouts.states import DeviceState
from fleet_protocol.messages import CartState, Update, encode, encode_control
from fleet_protocol.rollouts import Desired, Permit, decode_desired, encode_order, permit_topic
from fleet_protocol.topics import Topic
from tests.fleet_control.conftest import RunningBroker
from tests.fleet_control.rollouts.worlds import BASELINE, MANIFESTS, MODEL

pytestmark = pytest.mark.mosquitto
BOOT = "0123456789abcdef"


def state(*, online: bool = True, session: int = 1, model: str | None = BASELINE) -> bytes:
    """Return a birth or a will."""
    told = CartState(
        v=1,
        online=online,
        store="s001",
        cart="s001-c01",
        boot=BOOT,
        session=session,
        model=model,
        hw="orin",
        labels={"row": "front"},
    )
    return encode_control(told)


def step(number: int, name: DeviceState, rollout: str | None = "autumn") -> bytes:
    """Return a step of an update."""
    return encode(
        Update(
            store="s001",
            cart="s001-c01",
            boot=BOOT,
            seq=number,
            fw="1",
            model=BASELINE,
            t0=1,
            state=name.value,
            rollout=rollout,
            attempt=1,
            step=number,
        )
    )


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for the network, and for nothing longer than it takes."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.fixture
def fleet(mosquitto: RunningBroker) -> Iterator[MqttFleet]:
    """Return a connected controller."""
    made = MqttFleet(mosquitto.address, client_id="controller", now_ms=lambda: 1_000)
    made.start()
    assert made.wait_ready(20)
    yield made
    made.stop()


@pytest.fixture
def cart(mosquitto: RunningBroker) -> Iterator[BulkPublisher]:
    """Return who speaks for a cart."""
    with BulkPublisher(mosquitto.address, "cart") as publisher:
        publisher.connect(20)
        yield publisher


STATE, UPD = str(Topic("s001", "s001-c01", "state")), str(Topic("s001", "s001-c01", "upd"))


def test_a_cart_is_known_by_its_birth_and_gone_by_the_will_of_its_session(
    fleet: MqttFleet, cart: BulkPublisher
) -> None:
    """Hardware, labels and model come with the birth; a late will of an old connection changes nothing."""
    cart.publish(STATE, state(session=7), retain=True)
    eventually(lambda: "s001-c01" in fleet.carts())
    seen = fleet.carts()["s001-c01"]
    assert (seen.online, seen.hardware, seen.labels, seen.model) == (True, "orin", {"row": "front"}, BASELINE)
    cart.publish(STATE, state(online=False, session=6), retain=True)
    cart.publish(UPD, step(0, DeviceState.FETCHING))
    assert fleet.wait(20)
    assert fleet.carts()["s001-c01"].online
    cart.publish(STATE, state(online=False, session=7, model=None), retain=True)
    eventually(lambda: not fleet.carts()["s001-c01"].online)
    assert fleet.carts()["s001-c01"].hardware == "orin"


def test_steps_of_rollouts_arrive_and_garbage_harms_nobody(mosquitto: RunningBroker) -> None:
    """What is not of a rollout is left to ingest; what nobody understands is counted."""
    problems: list[str] = []
    fleet = MqttFleet(mosquitto.address, client_id="controller", now_ms=lambda: 5, on_problem=problems.append)
    fleet.start()
    assert fleet.wait_ready(20)
    with BulkPublisher(mosquitto.address, "cart") as cart:
        cart.connect(20)
        cart.publish(UPD, b"\x00nonsense")
        cart.publish(permit_topic("autumn"), b"{}", retain=True)
        cart.publish(UPD, step(0, DeviceState.FETCHING, rollout=None))
        cart.publish(UPD, step(1, DeviceState.VERIFIED))
        assert fleet.wait(20)
    (report,) = fleet.reports()
    assert (report.rollout_id, report.state, report.step, report.at_ms) == (
        "autumn",
        DeviceState.VERIFIED,
        1,
        5,
    )
    assert problems == ["message_refused", "message_refused"]
    assert fleet.reports() == ()
    fleet.stop()


def test_orders_are_retained_and_acknowledged_and_a_cart_that_comes_later_reads_them(
    fleet: MqttFleet, mosquitto: RunningBroker
) -> None:
    """Thousands of orders at once, and the newest of one cart holds."""
    orders: list[tuple[str, Desired] | Permit] = [
        (f"s001/s001-c{n % 1_000}", Desired(generation=n, model=MODEL, manifest=MANIFESTS[MODEL]))
        for n in range(3_000)
    ]
    permit = Permit(rollout="autumn", generation=3, state="running", until=9)
    assert fleet.tell([permit, *orders], 30) == 3_001
    eventually(lambda: fleet.permits() == {"autumn": permit})
    got: list[bytes] = []
    late = paho.Client(CallbackAPIVersion.VERSION2, client_id="late")
    late.on_message = lambda _c, _d, message: got.append(bytes(message.payload))
    late.connect(mosquitto.address.host, mosquitto.address.port)
    late.subscribe("fleet/v1/s001/s001-c7/desired", qos=1)
    late.loop_start()
    eventually(lambda: bool(got))
    late.disconnect()
    late.loop_stop()
    assert decode_desired(got[0]).generation == 2_007


def test_a_broker_that_dies_is_an_error_of_ours_and_comes_back_by_itself(
    fleet: MqttFleet, mosquitto: RunningBroker
) -> None:
    """Telling fails with the address while it is away, and works again after its restart."""
    permit = Permit(rollout="autumn", generation=3, state="paused", until=9)
    mosquitto.kill()
    eventually(lambda: not fleet.is_ready())
    with pytest.raises(BrokerError, match=str(mosquitto.address.port)):
        fleet.tell([permit], 5)
    mosquitto.start()
    eventually(fleet.is_ready)
    assert fleet.tell([permit], 20) == 1


def test_a_permit_that_somebody_else_retains_is_seen(fleet: MqttFleet, cart: BulkPublisher) -> None:
    """The engine compares what the broker holds with what it should hold."""
    stale = Permit(rollout="autumn", generation=1, state="running", until=9)
    fleet.tell([Permit(rollout="autumn", generation=2, state="paused", until=9)], 20)
    cart.publish(permit_topic("autumn"), encode_order(stale), retain=True)
    eventually(lambda: fleet.permits() == {"autumn": stale})
