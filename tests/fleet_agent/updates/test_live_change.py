"""A whole cart at a real broker, from its settings: the shipped model, the next one, and back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleet_agent.check import _repository, check
from fleet_agent.config import (
    CameraConfig,
    CartConfig,
    ModelConfig,
    MqttConfig,
    SpoolConfig,
    UpdatesConfig,
    parse_config,
)
from fleet_agent.errors import UpdateError
from fleet_agent.launch import SHIPPED_MODEL, SHIPPED_MODELS, Cart, Senses
from fleet_agent.ports import SystemClock
from fleet_agent.updates.repository_folder import FolderRepository
from fleet_protocol.messages import CartState, Update, decode_message, decode_state
from fleet_protocol.rollouts import Desired, Permit, encode_order, permit_topic
from tests.fleet_agent.conftest import Broker
from tests.fleet_agent.updates.carts import digest_of, name_of
from tests.fleet_agent.worlds import CART, STORE, Bench, BenchCamera, BenchScale, config, wait_for

NEXT_MODEL = SHIPPED_MODELS / "v2"
PREFIX = f"fleet/v1/{STORE}/{CART}"

pytestmark = pytest.mark.mosquitto


class Operator:
    """Whoever says what the cart should run, and hears what it says."""

    def __init__(self, port: int) -> None:
        self.reports: list[Update] = []
        self.states: list[CartState] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="operator")
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(f"{PREFIX}/upd", 1), (f"{PREFIX}/state", 1)])
        self._client.loop_start()

    def _hear(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        if message.topic.endswith("/state"):
            self.states.append(decode_state(message.topic, payload))
            return
        decoded = decode_message(message.topic, payload).message
        assert isinstance(decoded, Update)
        self.reports.append(decoded)

    def say(self, topic: str, order: Desired | Permit) -> None:
        """Publish an order, retained."""
        self._client.publish(topic, encode_order(order), qos=1, retain=True).wait_for_publish(10)

    def desire(self, folder: Path, generation: int, rollout: str | None) -> None:
        """Ask for a model."""
        order = Desired(
            generation=generation, model=digest_of(folder), manifest=name_of(folder), rollout=rollout
        )
        self.say(f"{PREFIX}/desired", order)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def operator(mosquitto: Broker) -> Iterator[Operator]:
    """An operator at the broker."""
    operator = Operator(mosquitto.port)
    yield operator
    operator.close()


def settings(folder: Path, port: int) -> CartConfig:
    """Return the settings of a cart of two cameras, whose root is not looked at by the double."""
    return config(
        labels={"floor": "upper"},
        model=ModelConfig(backend="onnxruntime", idle_inference_fps=10.0),
        cameras=tuple(CameraConfig(name=name, kind="images", source="-") for name in ("front", "left")),
        spool=SpoolConfig(path=str(folder / "spool.db")),
        mqtt=MqttConfig(host="127.0.0.1", port=port, reconnect_min_s=0.05),
        updates=UpdatesConfig(
            repository="https://unused.test", root="-", idle_s=0.0, probation_s=1.0, probation_looks=3
        ),
    )


def test_a_running_cart_changes_its_model_and_back(
    mosquitto: Broker, operator: Operator, tmp_path: Path
) -> None:
    """From v1 to v2 under a permit, and home to v1 without one: in one process, at one broker."""
    old, new = digest_of(SHIPPED_MODEL), digest_of(NEXT_MODEL)
    repository = FolderRepository({name_of(path): path for path in (SHIPPED_MODEL, NEXT_MODEL)})
    bench = Bench()
    cart = Cart(
        settings(tmp_path, mosquitto.port),
        senses=Senses([BenchCamera(name, bench) for name in ("front", "left")], BenchScale(bench)),
        alone=False,
        open_repository=lambda _updates, _folder: repository,
    )
    until = time.time_ns() // 1_000_000 + 3_600_000
    operator.say(permit_topic("r1"), Permit(rollout="r1", generation=1, state="running", until=until))
    operator.desire(NEXT_MODEL, 1, "r1")
    cart.start()
    wait_for(lambda: operator.reports[-1:] != [] and operator.reports[-1].state == "COMMITTED")
    assert (operator.reports[-1].model, cart.agent.identity.model) == (new, new)
    wait_for(lambda: operator.states[-1].model == new)
    assert operator.states[-1].labels == {"floor": "upper"}
    operator.say(permit_topic("r1"), Permit(rollout="r1", generation=2, state="ended", until=until))
    operator.desire(SHIPPED_MODEL, 2, None)
    wait_for(lambda: operator.reports[-1].state == "COMMITTED" and operator.reports[-1].rollout is None)
    assert (operator.reports[-1].model, cart.agent.identity.model) == (old, old)
    cart.stop(10.0)
    wait_for(lambda: not operator.states[-1].online)
    assert operator.states[-1].reason == "stopped"


def test_check_says_whether_updates_would_work(mosquitto: Broker, tmp_path: Path) -> None:
    """Orders may be heard; a root that is not there and a server that is gone are named."""
    root = tmp_path / "root.json"
    text = f"""
        store = "{STORE}"
        cart = "{CART}"
        [model]
        directory = "/nowhere"
        [mqtt]
        port = {mosquitto.port}
        [updates]
        repository = "http://127.0.0.1:{mosquitto.port}/models"
        root = "{root}"
    """

    found = {finding.part: finding for finding in check(parse_config(text), SystemClock())}
    assert found["orders"].ok
    assert found["orders"].detail.endswith("no model is asked for, or it may not be read")
    assert not found["repository"].ok
    assert "root.json" in found["repository"].detail
    root.write_text("{}")
    assert "127.0.0.1" in _repository(parse_config(text))
    with pytest.raises(UpdateError, match=r"127\.0\.0\.1:1"):
        _repository(parse_config(text.replace(f"127.0.0.1:{mosquitto.port}/", "127.0.0.1:1/")))
