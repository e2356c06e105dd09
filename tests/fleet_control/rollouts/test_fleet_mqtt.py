"""The controller and a real broker."""

import signal
import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fleet_control.errors import BrokerError
from fleet_control.ingest.transport_mqtt import BulkPublisher
from fleet_control.rollouts.fleet_mqtt import MAX_IN_FLIGHT, MqttFleet
from fleet_control.rollouts.outbox import OutboxPublisher
from fleet_control.rollouts.states import Action, DeviceState
from fleet_protocol.messages import CartState, Update, encode, encode_control
from fleet_protocol.rollouts import Desired, Permit, decode_desired, encode_order, permit_topic
from fleet_protocol.topics import Topic
from tests.fleet_control.conftest import RunningBroker
from tests.fleet_control.rollouts.scene import Scene
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


def test_what_a_broker_lost_in_its_restart_is_told_again(fleet: MqttFleet, mosquitto: RunningBroker) -> None:
    """A broker that is killed forgets what it retained since it last wrote; a pause must come again."""
    scene = Scene()
    scene.fleet = fleet  # type: ignore[assignment]
    store = scene.store
    publisher = OutboxPublisher(store, fleet, now_ms=lambda: scene.now_ms)
    scene.create()
    scene.act(Action.PAUSE)
    assert publisher.run_once() > 0
    mosquitto.kill()
    eventually(lambda: not fleet.is_ready())
    mosquitto.start()
    eventually(fleet.is_ready)
    assert fleet.permits() == {}
    assert store.outbox() == ()
    scene.now_ms += 1_000
    assert publisher.run_once() == 0
    eventually(lambda: [permit.state for permit in fleet.permits().values()] == ["paused"])


def test_orders_that_a_broker_lost_or_that_somebody_made_old_are_told_again(
    fleet: MqttFleet, mosquitto: RunningBroker, cart: BulkPublisher
) -> None:
    """A controller that woke up too late put an old order back, then the broker was killed: both mended."""
    where = "s001/s001-c01"
    old, new = (
        Desired(generation=n, model=MODEL, manifest=MANIFESTS[MODEL], rollout="autumn") for n in (1, 2)
    )
    assert fleet.tell([(where, new)], 20) == 1
    cart.publish(f"fleet/v1/{where}/desired", encode_order(old), retain=True)
    eventually(lambda: fleet.missing(9) == ((where, new),))
    scene = Scene()
    publisher = OutboxPublisher(scene.store, fleet, now_ms=lambda: scene.now_ms)
    publisher.run_once()
    eventually(lambda: fleet.missing(9) == ())
    mosquitto.kill()
    eventually(lambda: not fleet.is_ready())
    mosquitto.start()
    eventually(lambda: fleet.missing(9) == ((where, new),))
    scene.now_ms += 1_000
    publisher.run_once()
    eventually(lambda: fleet.missing(9) == ())


def test_a_whole_fleet_is_known_before_it_is_ready_and_none_of_it_earlier(
    mosquitto: RunningBroker, cart: BulkPublisher
) -> None:
    """Stages are drawn from all carts that there are, also right after a start of the controller."""
    for number in range(3_000):
        name = f"c{number:04}"
        told = CartState(v=1, online=True, store="s001", cart=name, boot=BOOT, session=1)
        cart.publish(str(Topic("s001", name, "state")), encode_control(told), retain=True)
    cart.flush(20)
    made = MqttFleet(mosquitto.address, client_id="late", now_ms=lambda: 1_000)
    sizes: set[int] = set()
    made.start()
    while not made.wait_ready(0.001):
        sizes.add(len(made.carts()))
    # All of it may become known between the two questions, a part of it never.
    assert sizes - {3_000} == {0}
    assert len(made.carts()) == 3_000
    made.stop()


def test_a_cart_that_tries_its_account_is_not_gone(fleet: MqttFleet, cart: BulkPublisher) -> None:
    """`check` publishes an empty state beside a running cart."""
    cart.publish(STATE, state(), retain=True)
    cart.publish(STATE, b"")
    cart.publish(UPD, step(0, DeviceState.FETCHING))
    assert fleet.wait(20)
    assert fleet.carts()["s001-c01"].online


def test_an_old_broker_is_spoken_to_in_its_own_version(amqtt: RunningBroker) -> None:
    """The broker of the demo speaks MQTT 3.1.1; carts are told all the same."""
    made = MqttFleet(amqtt.address, client_id="controller", now_ms=lambda: 1_000)
    made.start()
    assert made.wait_ready(30)
    permit = Permit(rollout="autumn", generation=3, state="running", until=9)
    assert made.tell([permit], 20) == 1
    eventually(lambda: made.permits() == {"autumn": permit})
    made.stop()


def test_orders_that_nobody_answers_are_given_up_and_never_sent_later(
    fleet: MqttFleet, mosquitto: RunningBroker
) -> None:
    """A broker that hangs gets the order again from whoever still wants it, not from a queue of ours."""
    assert mosquitto.process is not None
    mosquitto.process.send_signal(signal.SIGSTOP)
    old = Permit(rollout="autumn", generation=3, state="running", until=9)
    assert fleet.tell([old] * (MAX_IN_FLIGHT + 10), 0.5) == 0
    mosquitto.kill()
    eventually(lambda: not fleet.is_ready())
    mosquitto.start()
    eventually(fleet.is_ready)
    new = Permit(rollout="winter", generation=4, state="paused", until=9)
    assert fleet.tell([new], 20) == 1
    eventually(lambda: bool(fleet.permits()))
    assert fleet.permits() == {"winter": new}


def test_a_permit_that_somebody_else_retains_is_seen(fleet: MqttFleet, cart: BulkPublisher) -> None:
    """The engine compares what the broker holds with what it should hold."""
    stale = Permit(rollout="autumn", generation=1, state="running", until=9)
    fleet.tell([Permit(rollout="autumn", generation=2, state="paused", until=9)], 20)
    cart.publish(permit_topic("autumn"), encode_order(stale), retain=True)
    eventually(lambda: fleet.permits() == {"autumn": stale})
