"""What cameras see and the scale feels: one story, told the same by both."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.broker_address import mqtt_config
from demo.carts.camera import BUSY_FPS, RenderedCamera, view_of
from demo.carts.host import cart_config
from demo.carts.scale import SimulatedScale
from demo.carts.shopping import PATIENCE_S, CartShopping, Clocks
from demo.carts.theatre import Theatre
from demo.data_dir import DataDir
from demo.world.faults import LAMP_UNTIL_DAYS_AFTER
from demo.world.settings import World, WorldSettings
from demo.world.shoppers import Move, draw_trip, tastes
from demo.world.stage import Stage, Surroundings
from demo.world.truth import TruthLog, TruthRow, read_truth
from fleet_agent.config import ScaleConfig
from fleet_agent.events import ItemEvent, Label
from fleet_agent.perception import Frame
from fleet_agent.ports import ScaleReading
from fleet_agent.quality import measure
from fleet_agent.scales.condition import ScaleLimits, is_weight
from fleet_agent.settling import SettleLimits, SettleState, WeightChange, step
from tests.demo.conftest import EPOCH_MS
from training.scenes import CATALOGUE, Direction, Light

LIMITS = SettleLimits(settle_s=0.5, noise_g=5.0, min_change_g=10.0)
AROUND = Surroundings(Light())


class HandClock:
    """Two clocks that a test turns on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        """Return the hand-turned seconds."""
        return self.now_s

    def epoch_ms(self) -> int:
        """Return the time of day that goes with them."""
        return EPOCH_MS + round(self.now_s * 1000)


class Gallery(Theatre):
    """A theatre whose waits turn the clock on instead of sleeping."""

    def __init__(self, world: World, cart_ix: int, clock: HandClock) -> None:
        cart = world.carts[cart_ix]
        super().__init__(
            world,
            world.store(cart.store_id),
            cart.cart_id,
            monotonic_s=clock.monotonic_s,
            epoch_ms=clock.epoch_ms,
        )
        self._clock = clock

    def wait(self, seen_changes: int, until_s: float) -> None:
        """Turn the clock on."""
        assert seen_changes == self.changes
        self._clock.now_s = max(until_s, self._clock.now_s + 0.001)


def _move(direction: Direction = Direction.ADD, quantity: int = 1, item_ix: int = 6) -> Move:
    drawn = next(iter(draw_trip(np.random.default_rng(1), tastes(1, 0))))
    item_id = CATALOGUE[item_ix].item_id
    gesture = replace(drawn.gesture, item_id=item_id, direction=direction, duration_s=2.0, lane=0.1)
    return Move(item_ix, quantity, direction, 1.0, gesture)


def _readings(scale: SimulatedScale, clock: HandClock, for_s: float) -> list[ScaleReading]:
    until_s = clock.now_s + for_s
    readings = []
    while clock.now_s < until_s:
        reading = scale.read(1.0)
        if reading is not None:
            readings.append(reading)
    return readings


def _changes(readings: list[ScaleReading]) -> list[WeightChange]:
    state, changes = SettleState(), []
    for reading in readings:
        state, change = step(state, reading, LIMITS)
        changes += [change] if change is not None else []
    return changes


@given(st.integers(0, 10_000))
def test_taking_out_undoes_putting_in(seed: int) -> None:
    """After an item went in and came out again, the load is what it was, to the gram."""
    rng = np.random.default_rng(seed)
    stage = Stage().begin(rng, _move(item_ix=seed % 20), 0.0).after()
    added = stage.load_g(9.0)
    assert added > 0
    stage = stage.begin(rng, _move(Direction.REMOVE, item_ix=seed % 20), 10.0)
    assert stage.load_g(10.1) == added
    assert stage.load_g(60.0) == pytest.approx(0.0, abs=1e-6)
    assert stage.after().settled == ()


def test_nobody_takes_out_what_is_not_there() -> None:
    """A stage refuses to remove an item that it does not hold."""
    with pytest.raises(ValueError, match="not 1 of cola-classic"):
        Stage().begin(np.random.default_rng(0), _move(Direction.REMOVE), 0.0)


def test_two_at_once_are_two_hands_and_twice_the_weight() -> None:
    """A pick of two shows two hands, and weighs as two pieces with their own weights."""
    stage = Stage().begin(np.random.default_rng(0), _move(quantity=2), 0.0)
    assert len(stage.scene(0.5, AROUND).gestures) == 2
    assert stage.load_g(60.0) == pytest.approx(2 * CATALOGUE[6].weight_g, abs=20)


def test_the_till_changes_no_reading() -> None:
    """Emptying the cart at the till leaves the scale's reading where it was: it is set to a new zero."""
    stage = Stage().begin(np.random.default_rng(0), _move(), 0.0)
    emptied = stage.emptied(60.0)
    assert emptied.load_g(60.0) == pytest.approx(stage.load_g(60.0), abs=0.01)
    assert emptied.scene(60.0, AROUND).basket == ()


def test_the_agent_settles_on_the_weight_that_was_moved(world: World) -> None:
    """The simulated scale rings and is noisy, and the agent's own reducer finds each change in it."""
    clock = HandClock()
    theatre = Gallery(world, 0, clock)
    scale = SimulatedScale(theatre, seed=1, monotonic_s=clock.monotonic_s)
    rng = np.random.default_rng(4)
    readings = _readings(scale, clock, 12.0)
    expected = []
    for direction in (Direction.ADD, Direction.ADD, Direction.REMOVE):
        expected.append(theatre.begin(rng, _move(direction)).change_g)
        readings += _readings(scale, clock, 15.0)
    found = [change.change_g for change in _changes(readings)]
    assert found == pytest.approx(expected, abs=6.0)


def test_an_idle_scale_is_read_seldom_and_a_moving_one_often(world: World) -> None:
    """Readings cost CPU: a calm cart gives one in two seconds, a busy one ten per second."""
    clock = HandClock()
    theatre = Gallery(world, 0, clock)
    scale = SimulatedScale(theatre, seed=1, monotonic_s=clock.monotonic_s)
    assert len(_readings(scale, clock, 20.0)) <= 12
    theatre.begin(np.random.default_rng(1), _move())
    assert 18 <= len(_readings(scale, clock, 2.0)) <= 22


def _frames(camera: RenderedCamera, clock: HandClock, for_s: float) -> list[Frame]:
    until_s = clock.now_s + for_s
    frames = []
    while clock.now_s < until_s:
        frame = camera.read(1.0)
        if frame is not None:
            frames.append(frame)
    return frames


def test_a_hand_makes_the_camera_fast(world: World) -> None:
    """A calm cart gives a frame now and then; while a hand is in the picture it gives six a second."""
    clock = HandClock()
    theatre = Gallery(world, 0, clock)
    camera = RenderedCamera(view_of("front"), theatre, seed=1, monotonic_s=clock.monotonic_s)
    camera.open()
    assert 7 <= len(_frames(camera, clock, 20.0)) <= 9
    theatre.begin(np.random.default_rng(1), _move())
    busy = _frames(camera, clock, 2.0)
    assert len(busy) == pytest.approx(2.0 * BUSY_FPS, abs=2)
    assert busy[0].pixels.shape == (240, 320, 3)
    assert not np.array_equal(busy[2].pixels, busy[5].pixels)


def test_a_waiting_camera_is_woken_by_a_movement(world: World) -> None:
    """A camera that sleeps until its next calm frame sees the hand at once."""
    cart = world.carts[0]
    theatre = Theatre(
        world,
        world.store(cart.store_id),
        cart.cart_id,
        monotonic_s=time.monotonic,
        epoch_ms=lambda: EPOCH_MS,
    )
    woken = threading.Event()

    def sleeper() -> None:
        theatre.wait(theatre.changes, time.monotonic() + 60.0)
        woken.set()

    thread = threading.Thread(target=sleeper)
    thread.start()
    while not woken.is_set():
        theatre.begin(np.random.default_rng(1), _move())
        woken.wait(0.01)
    thread.join(10.0)
    assert not thread.is_alive()


def _picture(world: World, cart_ix: int, camera: str) -> Frame:
    clock = HandClock()
    theatre = Gallery(world, cart_ix, clock)
    source = RenderedCamera(view_of(camera), theatre, seed=1, monotonic_s=clock.monotonic_s)
    return _frames(source, clock, 3.0)[0]


def test_faults_show_in_the_pictures() -> None:
    """The dim store's pictures are darker, the smeared camera's are blurred, the others are fine."""
    late = EPOCH_MS - round(LAMP_UNTIL_DAYS_AFTER * 86_400_000)
    world = World(WorldSettings(seed=3, stores=3, carts_per_store=2, history_days=3, epoch_ms=late))
    fine, dim = measure(_picture(world, 0, "front").pixels), measure(_picture(world, 2, "front").pixels)
    smeared, clean = measure(_picture(world, 5, "front").pixels), measure(_picture(world, 5, "left").pixels)
    assert dim.brightness < 0.6 * fine.brightness
    assert smeared.sharpness < fine.sharpness - 1.0
    assert clean.sharpness > fine.sharpness - 1.0


class Memory:
    """A cart that only remembers what it is told."""

    def __init__(self) -> None:
        self.sessions: list[str | None] = []
        self.labels: list[Label] = []

    def begin_session(self, session_id: str | None) -> None:
        """Remember a session."""
        self.sessions.append(session_id)

    def record_label(self, label: Label) -> None:
        """Remember a label."""
        self.labels.append(label)


class Shop:
    """One cart's shoppers against a cart that answers as a test wants."""

    def __init__(self, world: World, start: int = 1) -> None:
        self.clock = HandClock()
        self.memory = Memory()
        self.truth: list[TruthRow] = []
        self.theatre = Gallery(world, 0, self.clock)
        self.shopping = CartShopping(
            world,
            world.carts[0],
            start=start,
            theatre=self.theatre,
            ear=self.memory,
            keep=self.truth.append,
            clocks=Clocks(self.clock.monotonic_s, self.clock.epoch_ms),
        )

    def live(self, for_s: float, *, answers: str) -> None:
        """Let time pass; the cart is `right`, `wrong` or `silent`."""
        until_s = self.clock.now_s + for_s
        told = None
        while self.clock.now_s < until_s:
            movement = self.theatre.stage.movement
            if movement is not None and movement is not told and self.clock.now_s > movement.lands_s + 1:
                told = movement
                if answers != "silent":
                    self.shopping.heard(self._event(movement.move, wrong=answers == "wrong"))
            self.clock.now_s = max(
                self.clock.now_s + 0.05, min(self.shopping.step(self.clock.now_s), self.clock.now_s + 0.5)
            )

    def _event(self, move: Move, *, wrong: bool) -> ItemEvent:
        item_ix = (move.item_ix + wrong) % len(CATALOGUE)
        return ItemEvent(
            event_id=f"e{len(self.truth)}",
            at_ms=self.clock.epoch_ms(),
            session_id=self.memory.sessions[-1],
            item_id=CATALOGUE[item_ix].item_id,
            quantity=move.quantity,
            direction="add" if move.direction is Direction.ADD else "remove",
            posterior=0.97,
            top=(),
            camera_confidence=(),
            weight_change_g=1.0,
            weight_residual_g=0.0,
            outcome="accepted",
            decision_ms=500.0,
        )


def test_the_truth_knows_every_movement_and_what_the_cart_said(world: World) -> None:
    """With a cart that is always right, every row of the truth is right and only audits are heard."""
    shop = Shop(world)
    shop.live(1800.0, answers="right")
    assert len(shop.truth) > 30
    assert all(row.right for row in shop.truth)
    assert {label.type for label in shop.memory.labels} <= {"audit"}
    assert None in shop.memory.sessions
    assert len({row.session_id for row in shop.truth}) > 2


def test_a_day_of_shoppers_does_not_break_the_scale(world: World, tmp_path: Path) -> None:
    """Every trip moves the scale's zero, and what it shows at the end of the day is still a weight."""
    shop = Shop(world)
    shop.live(6 * 3600.0, answers="right")
    shown_g = shop.theatre.stage.load_g(shop.clock.now_s)
    mqtt = mqtt_config("mqtt://127.0.0.1:1883", {})
    config = cart_config(world.carts[0], DataDir(tmp_path), mqtt)
    reading = ScaleReading(1000 * shown_g, shop.clock.now_s)
    assert shown_g > ScaleConfig().range_g
    assert is_weight(reading, ScaleLimits(config.scale.range_g, config.scale.drift_g))


def test_a_wrong_cart_is_corrected_often_but_not_always(world: World) -> None:
    """Labels carry the truth, name the event, and leave some errors unmentioned."""
    shop = Shop(world)
    shop.live(3600.0, answers="wrong")
    by_event = {row.event_id: row for row in shop.truth}
    corrections = [label for label in shop.memory.labels if label.type == "correction"]
    assert 0.4 * len(shop.truth) < len(corrections) < 0.9 * len(shop.truth)
    for label in corrections:
        row = by_event[label.ref_event_id]
        assert (label.item_id, label.quantity, label.direction) == (row.item_id, row.quantity, row.direction)
        assert label.item_id != row.said_item_id


def test_a_movement_that_the_cart_missed_is_in_the_truth(world: World) -> None:
    """A silent cart: the truth has rows without events, and shopping goes on."""
    shop = Shop(world)
    shop.live(600.0, answers="silent")
    assert len(shop.truth) > 5
    assert {row.event_id for row in shop.truth} == {None}
    assert not any(row.right for row in shop.truth)
    assert PATIENCE_S < 10


def test_a_ghost_is_kept_as_nothing(world: World) -> None:
    """An event without a movement: the truth says that nothing moved."""
    shop = Shop(world)
    shop.memory.sessions.append("t")
    shop.shopping.heard(shop._event(_move(), wrong=False))
    assert [(row.item_id, row.right) for row in shop.truth] == [(None, False)]


def test_each_start_has_other_shoppers_and_the_same_start_the_same(world: World) -> None:
    """Seed and start number decide the story."""
    shops = [Shop(world, start) for start in (1, 1, 2)]
    for shop in shops:
        shop.live(600.0, answers="right")
    moved = [[(row.item_id, row.quantity) for row in shop.truth] for shop in shops]
    assert moved[0] == moved[1] != moved[2]


def test_the_truth_file_keeps_rows_of_several_writers(tmp_path: Path) -> None:
    """Two logs on one file: all rows are there, a repeated one once."""
    row = TruthRow(
        truth_id="a",
        store_id="s001",
        cart_id="s001-c01",
        session_id=None,
        at_ms=1,
        item_id="eggs-ten",
        quantity=1,
        direction="add",
        faults="lamp",
        source="live",
    )
    logs = [TruthLog(tmp_path / "truth.sqlite") for _ in range(2)]
    logs[0].write([row])
    logs[1].write([row, replace(row, truth_id="b", at_ms=2)])
    for log in logs:
        log.close()
    assert [found.truth_id for found in read_truth(tmp_path / "truth.sqlite", "live")] == ["a", "b"]
