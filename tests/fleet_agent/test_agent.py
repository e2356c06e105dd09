"""Stories about a whole cart on a bench."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fleet_agent.agent import Agent
from fleet_agent.config import CaptureConfig, CartConfig, ModelConfig, ScaleConfig, TelemetryConfig
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.errors import EngineError, ScaleLostError
from fleet_agent.events import ItemEvent, Label
from fleet_agent.perception import EngineInfo, PerceptionEngine, Tensor
from fleet_agent.ports import ScaleReading, ScaleSource, SystemClock
from fleet_agent.spool import Spool
from fleet_agent.transport_memory import MemoryCloud, MemoryTransport
from fleet_protocol.messages import Events, Window
from tests.fleet_agent.worlds import (
    CART,
    COLORS,
    STORE,
    Bench,
    BenchCamera,
    BenchScale,
    config,
    manifest,
    wait_for,
)

QUICK = config(
    model=ModelConfig(idle_inference_fps=5.0),
    capture=CaptureConfig(event_fps=10.0, event_before_s=0.5),
    scale=ScaleConfig(settle_s=0.3),
)


class Cart:
    """A running cart and all that a story looks at."""

    def __init__(
        self, settings: CartConfig, path: Path, engine: PerceptionEngine | None, scale: ScaleSource | None
    ) -> None:
        self.bench = Bench()
        self.cloud = MemoryCloud()
        self.told: list[ItemEvent] = []
        self.screen_broken = False
        self.spool_folder = path.parent
        self.spool = Spool(path, settings.spool, owner=f"{STORE}/{CART}")
        self.cameras = [BenchCamera(name, self.bench) for name in ("front", "left")]
        self.agent = Agent(
            settings,
            cameras=self.cameras,
            scale=scale or BenchScale(self.bench),
            engine=engine or FakeEngine(manifest(), COLORS, cameras=2),
            manifest=manifest(),
            spool=self.spool,
            transport=MemoryTransport(self.cloud),
            clock=SystemClock(),
            on_event=self._hear,
        )

    def _hear(self, event: ItemEvent) -> None:
        self.told.append(event)
        if self.screen_broken:
            raise RuntimeError("the screen is broken")

    def frames(self) -> int:
        """Return how many frames the slower camera has given."""
        return min(camera.frames for camera in self.cameras)

    def windows(self) -> list[Window]:
        """Return the telemetry that arrived."""
        return [m for m in self.cloud.of("tel") if isinstance(m, Window)]

    def rows(self) -> list[Events]:
        """Return the event messages that arrived."""
        return [m for m in self.cloud.of("evt") if isinstance(m, Events)]

    def counter(self, name: str) -> int:
        """Return a counter over all windows."""
        return sum(w.cnt.get(name, 0) for w in self.windows())


Start = Callable[..., Cart]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start carts; stop those that a story has not stopped."""
    carts: list[Cart] = []

    def make(
        settings: CartConfig = QUICK,
        engine: PerceptionEngine | None = None,
        scale: ScaleSource | None = None,
    ) -> Cart:
        cart = Cart(settings, tmp_path / f"{len(carts)}.db", engine, scale)
        carts.append(cart)
        cart.agent.start()
        return cart

    yield make
    for cart in carts:
        cart.agent.stop(5.0)
        cart.spool.close()


@contextmanager
def stopped(cart: Cart) -> Iterator[None]:
    """Stop a cart, so that its last window has arrived."""
    cart.agent.stop(5.0)
    yield


def settle(cart: Cart) -> None:
    """Wait until the scale knows what lies in the cart: it has looked at it for a while."""
    wait_for(lambda: cart.frames() >= 20)


def test_an_item_put_in_and_taken_out_are_two_events(start: Start) -> None:
    """Cameras and scale together tell item, direction and quantity; the cloud gets each event once."""
    cart = start()
    settle(cart)
    cart.agent.begin_session("trip-1")
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 1)
    cart.bench.put(1, pieces=-1)
    wait_for(lambda: len(cart.told) == 2)
    first, second = cart.told
    assert (first.item_id, first.quantity, first.direction, first.outcome) == ("item-1", 1, "add", "accepted")
    assert (second.item_id, second.direction) == ("item-1", "remove")
    assert first.weight_change_g == pytest.approx(400, abs=5)
    assert first.session_id == "trip-1"
    assert first.decision_ms is not None
    rows = cart.rows()
    assert [r.cols.id for r in rows] == [[first.event_id], [second.event_id]]
    assert rows[0].cols.item == ["item-1"]
    assert rows[0].cols.cam != [[]]
    assert rows[0].model == manifest().digest
    assert rows[0].sim


def test_a_weight_without_a_picture_asks_the_shopper(start: Start) -> None:
    """Something heavy that no camera saw is an event that asks."""
    cart = start()
    settle(cart)
    cart.bench.weigh(400.0)
    wait_for(lambda: len(cart.told) == 1)
    assert cart.told[0].outcome == "asked"
    assert cart.told[0].camera_confidence == ()


def test_a_picture_without_a_weight_is_nothing(start: Start) -> None:
    """An item waved at the cameras is no event."""
    cart = start()
    settle(cart)
    cart.bench.show(1)
    wait_for(lambda: cart.frames() >= 45)
    with stopped(cart):
        assert cart.told == []
        assert cart.rows() == []


def test_labels_arrive_beside_the_events_they_speak_of(start: Start) -> None:
    """Corrections, scans and audits are rows of their own, with the truth."""
    cart = start()
    label = Label(
        type="audit",
        ref_event_id="e-1",
        ref_at_ms=1_790_000_000_000,
        item_id="item-2",
        quantity=2,
        direction="add",
        sampling_probability=0.25,
        session_id="trip-9",
    )
    cart.agent.record_label(label)
    cart.agent.record_label(replace(label, type="correction", item_id=None, quantity=None, direction=None))
    with stopped(cart):
        audit, correction = (row.cols for row in cart.rows())
        assert (audit.type, audit.ref, audit.item, audit.qty, audit.prob) == (
            ["audit"],
            ["e-1"],
            ["item-2"],
            [2],
            [0.25],
        )
        assert (correction.type, correction.item) == (["correction"], [None])
        assert audit.id != correction.id
        assert (cart.counter("audited"), cart.counter("corrected")) == (1, 1)


def test_telemetry_windows_tell_how_the_cart_is(start: Start) -> None:
    """Windows carry every stage, the drift signals per camera, counters and gauges; totals agree."""
    cart = start(replace(QUICK, telemetry=TelemetryConfig(window_s=0.5)))
    settle(cart)
    cart.bench.put(2)
    wait_for(lambda: len(cart.told) == 1)
    with stopped(cart):
        windows = cart.windows()
        stages = {name for w in windows for name in w.hist}
        assert stages == {
            "capture", "queue", "preprocess", "infer", "decode", "fuse", "camera_to_decision",
        }  # fmt: skip
        signals = {name for w in windows for name in w.sig}
        assert {"brightness/front", "blur/left", "confidence", "margin", "class"} <= signals
        assert {"weight_residual", "camera_disagreement"} <= signals
        assert cart.counter("item_events") == 1
        assert cart.counter("frames/front") > 10
        assert {"rss_bytes", "cpu_percent", "spool_bytes", "spool_messages"} <= set(windows[0].gau)
        assert all(a.t1 == b.t0 for a, b in pairwise(windows))
        sent = {total.channel: total.messages for total in cart.spool.totals()}
        assert sent["tel"] == len(windows)
        assert sent["evt"] == len(cart.rows())


def test_birth_and_farewell(start: Start) -> None:
    """The retained state says who the cart is, and at the end that it left on purpose."""
    cart = start()
    with stopped(cart):
        birth, farewell = cart.cloud.states
        assert birth.online
        assert birth.cameras == ["front", "left"]
        assert birth.model == manifest().digest
        assert birth.hw
        assert (farewell.online, farewell.reason) == (False, "stopped")


class NamedEngine(FakeEngine):
    """A double that can be told from others and knows whether it was closed."""

    def __init__(self, name: str) -> None:
        super().__init__(manifest(), COLORS, cameras=2)
        self._name = name
        self.closed = False

    @property
    def info(self) -> EngineInfo:
        """Its name."""
        return EngineInfo("fake", self._name, "cpu", "fp32")

    def close(self) -> None:
        """Remember."""
        self.closed = True


def test_a_better_engine_is_taken_over_while_the_cart_serves(start: Start) -> None:
    """The plan built meanwhile sees the next item, the old engine is closed, and a new birth tells it."""
    plain, planned = NamedEngine("plain"), NamedEngine("planned")
    cart = start(engine=plain)
    settle(cart)
    cart.bench.put(0)
    wait_for(lambda: len(cart.told) == 1)
    cart.agent.use_engine(planned)
    wait_for(lambda: plain.closed)
    seen_by_the_old = plain.calls
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 2)
    with stopped(cart):
        births = [state for state in cart.cloud.states if state.online]
        assert [birth.engine for birth in births] == ["fake plain fp32 on cpu", "fake planned fp32 on cpu"]
        assert (plain.calls, planned.calls > 0, planned.closed) == (seen_by_the_old, True, False)
        assert [event.item_id for event in cart.told] == ["item-0", "item-1"]


class StubbornEngine(NamedEngine):
    """An engine whose driver fails when it is closed."""

    def close(self) -> None:
        """Fail."""
        super().close()
        raise RuntimeError("the driver is gone")


def test_an_engine_that_does_not_close_does_not_blind_the_cart(start: Start) -> None:
    """What the cart shows next is seen by the new engine, and the failure is counted."""
    stubborn, planned = StubbornEngine("stubborn"), NamedEngine("planned")
    cart = start(engine=stubborn)
    settle(cart)
    used = threading.Event()
    assert cart.agent.use_engine(planned, used.set)
    wait_for(used.is_set)
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 1)
    with stopped(cart):
        assert (cart.counter("engine_close_failed"), cart.counter("decider_failed")) == (1, 0)
        assert [event.item_id for event in cart.told] == ["item-1"]


class NarrowEngine(NamedEngine):
    """An engine of two colours."""

    @property
    def input(self) -> Tensor:
        """What no picture fits into."""
        return super().input[:, :2]


def test_an_engine_that_does_not_fit_leaves_the_one_before(start: Start) -> None:
    """The cart goes on seeing through the engine it had, and the other is closed."""
    plain, narrow = NamedEngine("plain"), NarrowEngine("narrow")
    cart = start(engine=plain)
    settle(cart)
    cart.agent.use_engine(narrow)
    wait_for(lambda: narrow.closed)
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 1)
    assert not plain.closed


def test_an_engine_that_comes_after_the_stop_is_closed(start: Start) -> None:
    """Nobody would run it, and its memory is the GPU's."""
    cart, late = start(), NamedEngine("late")
    with stopped(cart):
        assert not cart.agent.use_engine(late)
        assert late.closed


class BrokenEngine(FakeEngine):
    """A network that always fails."""

    def __init__(self) -> None:
        super().__init__(manifest(), COLORS, cameras=2)

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Fail."""
        raise EngineError(f"no luck with {frames} frames")


def test_a_failing_network_asks_and_goes_on(start: Start) -> None:
    """When inference fails, weight changes still become events that ask, and the failure is counted."""
    cart = start(engine=BrokenEngine())
    settle(cart)
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 1)
    assert cart.told[0].outcome == "asked"
    with stopped(cart):
        assert cart.counter("engine_errors") > 0


class ShakyScale(BenchScale):
    """A scale that is lost once, and sends garbage."""

    def __init__(self) -> None:
        super().__init__(Bench())
        self.reads = 0

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Be lost at the tenth reading."""
        self.reads += 1
        if self.reads == 10:
            raise ScaleLostError("unplugged")
        reading = super().read(timeout_s)
        return None if reading is None else replace(reading, garbage_before=1)


def test_a_scale_that_is_lost_comes_back(start: Start) -> None:
    """An unplugged scale is opened again; garbage and the loss are counted."""
    scale = ShakyScale()
    cart = start(scale=scale)
    wait_for(lambda: scale.reads > 30)
    with stopped(cart):
        assert cart.counter("scale_reconnects") == 1
        assert cart.counter("scale_garbage") > 10


def test_a_callback_that_fails_does_not_stop_the_cart(start: Start) -> None:
    """Somebody else's error in on_event is logged; the next event comes."""
    cart = start()
    cart.screen_broken = True
    settle(cart)
    cart.bench.put(0)
    wait_for(lambda: len(cart.told) == 1)
    cart.bench.put(2)
    wait_for(lambda: len(cart.told) == 2)
    assert len({event.event_id for event in cart.told}) == 2


def test_a_damaged_spool_is_reported_in_telemetry(tmp_path: Path, start: Start) -> None:
    """A cart that lost its spool says so in its first window."""
    (tmp_path / "0.db").write_bytes(b"rubbish" * 1000)
    cart = start()
    with stopped(cart):
        assert cart.counter("spool_damaged") == 1


def test_many_carts_live_in_one_process(start: Start) -> None:
    """Agents share nothing: each sees its own bench."""
    carts = [start(), start(), start()]
    for cart in carts:
        settle(cart)
    for ix, cart in enumerate(carts):
        cart.bench.put(ix)
    for ix, cart in enumerate(carts):
        wait_for(lambda cart=cart: len(cart.told) == 1)  # type: ignore[misc]
        assert cart.told[0].item_id == f"item-{ix}"
    for cart in carts:
        cart.agent.begin_stop()


def test_a_scan_teaches_the_cart_what_was_asked(start: Start) -> None:
    """Asked, scanned: the basket holds the item, its weight was learned, and the window says so."""
    cart = start()
    settle(cart)
    cart.agent.begin_session("trip-1")
    cart.bench.weigh(410.0)
    wait_for(lambda: len(cart.told) == 1)
    asked = cart.told[0]
    assert asked.outcome == "asked"
    scan = Label(
        type="scan", ref_event_id=asked.event_id, ref_at_ms=asked.at_ms, item_id="item-1", quantity=1
    )
    cart.agent.record_label(scan)
    wait_for(lambda: cart.spool_folder.joinpath("0.weights.json").exists())
    with stopped(cart):
        assert cart.counter("weights_learned") == 1
        gauges = cart.windows()[-1].gau
        assert (gauges["basket_pieces"], gauges["basket_pending"]) == (1.0, 0.0)
        assert abs(gauges["basket_residual_g"]) < 15.0


def test_the_books_follow_what_is_put_in_and_taken_out(start: Start) -> None:
    """Put in and taken out again, nothing is left; after the trip there is nothing to compare."""
    cart = start(replace(QUICK, telemetry=TelemetryConfig(window_s=0.5)))
    settle(cart)
    cart.agent.begin_session("trip-1")
    for pieces in (1, -1):
        cart.bench.put(0, pieces=pieces)
        wait_for(lambda: len(cart.told) == (1 if pieces == 1 else 2))  # noqa: B023  # within the round
    assert [event.direction for event in cart.told] == ["add", "remove"]
    wait_for(lambda: cart.windows() != [] and cart.windows()[-1].gau.get("basket_pieces") == 0.0)
    cart.agent.begin_session(None)
    wait_for(lambda: "basket_residual_g" not in cart.windows()[-1].gau)


def test_a_step_that_no_camera_saw_is_a_jump_of_the_scale(start: Start) -> None:
    """A broken load cell steps: the shopper is asked, and the cart names the scale."""
    cart = start()
    settle(cart)
    cart.bench.weigh(700.0)
    wait_for(lambda: len(cart.told) == 1)
    with stopped(cart):
        assert cart.told[0].outcome == "asked"
        assert cart.counter("scale_jump") == 1


def test_a_load_that_shifts_is_no_event(start: Start) -> None:
    """Twelve grams without any item: counted as a shift, nobody is asked."""
    cart = start(replace(QUICK, telemetry=TelemetryConfig(window_s=0.5)))
    settle(cart)
    cart.bench.weigh(13.0)
    wait_for(lambda: cart.counter("shifts") == 1)
    assert cart.told == []
    assert cart.rows() == []
