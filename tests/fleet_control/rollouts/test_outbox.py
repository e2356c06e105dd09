"""From the outbox to the carts: what goes first, what is repeated, and what is renewed."""

from collections.abc import Sequence

import pytest

from fleet_control.errors import BrokerRefusedError, BrokerUnreachableError
from fleet_control.rollouts import outbox
from fleet_control.rollouts.fleet_memory import MemoryFleet
from fleet_control.rollouts.outbox import CHUNK, PERMIT_TTL_S
from fleet_control.rollouts.states import Action
from fleet_protocol.rollouts import Desired, Permit
from tests.fleet_control.rollouts.scene import Scene
from tests.fleet_control.rollouts.worlds import sightings

Orders = Sequence[tuple[str, Desired] | Permit]


class FlakyFleet(MemoryFleet):
    """A broker that takes what it is told; its answers get lost, or it is away."""

    answers: int | None = None
    away = False

    def tell(self, orders: Orders, timeout_s: float) -> int:
        """Take everything, and acknowledge a part."""
        if self.away:
            raise BrokerUnreachableError("mqtt://nowhere:1", "no route")
        taken = super().tell(orders, timeout_s)
        return taken if self.answers is None else min(taken, self.answers)


def scene_on(fleet: MemoryFleet) -> Scene:
    """Return a scene whose carts hear a broker of ours and do nothing."""
    scene = Scene()
    scene.fleet = fleet
    scene.obeys = False
    scene.build()
    return scene


def large() -> Scene:
    """Return a scene in which more orders wait than fit into one chunk."""
    scene = scene_on(MemoryFleet(sightings(20, 100)))
    scene.create(stages=[{"name": "all", "percent": 100}])
    scene.arm()
    for _ in range(2):
        scene.now_ms += 1_000
        scene.engine.run_pass(scene.lease)
    assert len(scene.store.outbox(limit=5_000)) > 3 * CHUNK
    return scene


def test_a_pause_passes_by_everything_that_waits() -> None:
    """Thousands of orders wait; a pause committed after the first chunk is told before the second."""
    scene = large()
    assert scene.publisher.run_once() == CHUNK
    scene.act(Action.PAUSE)
    before = len(scene.fleet.told)
    scene.publisher.run_once()
    first = scene.fleet.told[before]
    assert isinstance(first, Permit)
    assert first.state == "paused"


def test_what_was_not_acknowledged_is_told_again_and_the_newest_order_of_a_cart_holds() -> None:
    """The process dies, or answers are lost: generations show what is old, so that repeating harms nobody."""
    fleet = FlakyFleet(sightings(20, 100))
    scene = scene_on(fleet)
    scene.create(stages=[{"name": "all", "percent": 100}])
    scene.arm()
    fleet.answers = 7
    scene.turn(1)
    scene.engine.run_pass(scene.lease)
    scene.publisher.run_once()
    scene.build()
    fleet.answers = None
    while scene.publisher.run_once():
        pass
    orders = [order[1] for order in fleet.told if not isinstance(order, Permit)]
    assert len({order.generation for order in orders}) == 2_000 < len(orders)
    assert scene.store.outbox() == ()
    assert {order.timeout_s for order in orders} == {scene.plan().device.timeout_s}
    assert {order.rollout for order in orders} == {"autumn"}


def test_a_permit_is_renewed_for_as_long_as_somebody_drives() -> None:
    """At every moment of an hour, carts that connect read a permit that holds."""
    scene = scene_on(MemoryFleet(sightings(4, 6)))
    scene.create()
    told = 0
    for _ in range(360):
        scene.turn(step_s=10)
        assert scene.fleet.permits()["autumn"].until > scene.now_ms + PERMIT_TTL_S * 400
        told = sum(isinstance(order, Permit) for order in scene.fleet.told)
    # Twice in its life, and not at every look: each time all carts hear it.
    assert told <= 2 + 3_600 / (PERMIT_TTL_S / 2)


def test_a_permit_that_somebody_made_last_too_long_is_set_right() -> None:
    """A permit that never ends would outlive the controller."""
    scene = scene_on(MemoryFleet(sightings(4, 6)))
    scene.create()
    scene.turn()
    good = scene.fleet.permits()["autumn"]
    scene.fleet.overwrite(
        Permit(rollout="autumn", generation=good.generation, state="running", until=scene.now_ms + 10**10)
    )
    scene.turn()
    assert scene.fleet.permits()["autumn"].until <= scene.now_ms + PERMIT_TTL_S * 1000


def test_looks_at_the_permits_are_not_more_often_than_they_need_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every look is a query; an outbox that is full makes many turns a second."""
    scene = scene_on(MemoryFleet(sightings(4, 6)))
    looks = 0

    def renew(_: object) -> int:
        nonlocal looks
        looks += 1
        return 0

    monkeypatch.setattr(scene.publisher, "renew", renew)
    for _ in range(10):
        scene.now_ms += outbox.RENEW_MS // 5
        scene.publisher.run_once()
    assert looks == 2


def test_people_hear_also_while_the_broker_is_away_and_once() -> None:
    """That the broker is away is what they should look at; what is for carts waits."""
    fleet = FlakyFleet(sightings(4, 6))
    scene = scene_on(fleet)
    heard: list[str] = []
    scene.publisher._notify = lambda rollout, what, _text: heard.append(f"{rollout} {what}")
    scene.create()
    fleet.away = True
    for _ in range(3):
        with pytest.raises(BrokerUnreachableError, match="nowhere"):
            scene.publisher.run_once()
    assert heard
    assert len(heard) == len(set(heard))
    fleet.away = False
    scene.publisher.run_once()
    assert fleet.permits()["autumn"].state == "running"
    assert len(heard) == len(set(heard))


def test_a_controller_that_comes_after_a_power_cut_tells_again_what_the_broker_lost() -> None:
    """Broker and controller were on one machine: the database knows the newest order of each cart."""
    scene = scene_on(MemoryFleet(sightings(2, 8)))
    scene.create(stages=[{"name": "all", "percent": 100}])
    scene.arm()
    scene.turn(2)
    before = dict(scene.fleet.desired)
    assert len(before) == 16
    scene.fleet = MemoryFleet(sightings(2, 8))
    scene.build()
    scene.publisher.begin()
    scene.publisher.run_once()
    assert scene.fleet.desired == before
    assert [permit.state for permit in scene.fleet.permits().values()] == ["running"]


class Prejudiced(MemoryFleet):
    """A broker that takes no orders for one cart."""

    unwelcome = "s001/s001-c01"

    def tell(self, orders: Orders, timeout_s: float) -> int:
        """Refuse a chunk that holds it."""
        for index, order in enumerate(orders):
            if not isinstance(order, Permit) and order[0] == self.unwelcome:
                if not index:
                    raise BrokerRefusedError("mqtt://here:1", "not authorized")
                return super().tell(orders[:index], timeout_s)
        return super().tell(orders, timeout_s)


def test_one_order_that_is_refused_holds_no_other_repair_up() -> None:
    """The others are back at once, and the refused one is not tried every second."""
    scene = scene_on(MemoryFleet(sightings(2, 8)))
    scene.create(stages=[{"name": "all", "percent": 100}])
    scene.arm()
    scene.turn(2)
    fleet = Prejudiced(sightings(2, 8))
    scene.fleet = fleet
    scene.build()
    scene.publisher.begin()
    for _ in range(3):
        scene.now_ms += 1_000
        scene.publisher.run_once()
    assert len(fleet.desired) == 15
    told = len(fleet.told)
    scene.now_ms += 1_000
    scene.publisher.run_once()
    assert len(fleet.told) == told
