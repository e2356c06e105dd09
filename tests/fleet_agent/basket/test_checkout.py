"""Stories about the way from a settled weight to an item event."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from fleet_agent.basket.basket import make_basket
from fleet_agent.basket.checkout import Checkout
from fleet_agent.decider import Decider
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.events import ItemEvent, Session
from fleet_agent.frame_buffer import FrameBuffer
from fleet_agent.perception import Frame, Tensor
from fleet_agent.reporter import Reporter
from fleet_agent.settling import WeightChange
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision
from fleet_agent.wire import Identity
from tests.fleet_agent.worlds import COLORS, SteppedClock, config, manifest, open_spool, picture, wait_for


class BrokenEngine(FakeEngine):
    """Fails in a way that nobody foresaw."""

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Raise what no engine should."""
        raise ValueError(f"no broadcast of {frames}")


class Desk:
    """A deciding thread whose scale and shoppers the story plays."""

    def __init__(self, folder: Path) -> None:
        settings = config()
        self.clock = SteppedClock()
        self.telemetry = Telemetry()
        self.spool = open_spool(folder / "spool.db")
        self.told: list[ItemEvent] = []
        self.buffer = FrameBuffer(settings.capture, self.telemetry.count)
        identity = Identity("s", "c", "b", "1", "m", sim=True, cameras=("front",), hw="")
        reporter = Reporter(
            identity, spool=self.spool, telemetry=self.telemetry, clock=self.clock, wake=lambda: None
        )
        basket = make_basket(settings.fusion, manifest(), self.telemetry, beside=self.spool.path)
        engine = BrokenEngine(manifest(), COLORS, cameras=1)
        self.decider = Decider(
            settings,
            vision=Vision(engine, manifest(), telemetry=self.telemetry, clock=self.clock),
            buffers={"front": self.buffer},
            telemetry=self.telemetry,
            reporter=reporter,
            clock=self.clock,
            checkout=Checkout(
                settings.fusion,
                manifest(),
                basket=basket,
                telemetry=self.telemetry,
                reporter=reporter,
                clock=self.clock,
                on_event=self.told.append,
            ),
        )

    def decide(self, events: int) -> list[ItemEvent]:
        """Let the deciding thread work until there are so many events."""
        thread = threading.Thread(target=self.decider.run, daemon=True)
        thread.start()
        wait_for(lambda: len(self.told) == events or not thread.is_alive())
        self.decider.stop()
        thread.join(5.0)
        return self.told


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk without a shopper."""
    opened = Desk(tmp_path)
    yield opened
    opened.spool.close()


def test_an_item_that_settles_after_its_trip_goes_out_as_of_that_trip(desk: Desk) -> None:
    """What began to move before the next shopper began is the first one's, however late it is decided."""
    desk.decider.on_told(Session("a"))
    now_s = desk.clock.monotonic_s()
    desk.clock.now_s += 0.3
    desk.decider.on_told(Session("b"))
    desk.decider.on_change(WeightChange(400.0, now_s, now_s + 0.5, now_s + 0.9, 400.0))
    desk.decider.on_change(WeightChange(150.0, now_s + 60.0, now_s + 60.5, now_s + 61.0, 550.0))
    assert [event.session_id for event in desk.decide(2)] == ["a", "b"]


def test_a_picture_that_breaks_the_vision_does_not_cost_the_weight_change(desk: Desk) -> None:
    """An error that is none of ours is counted, and the shopper is asked."""
    now_s = desk.clock.monotonic_s()
    desk.buffer.put(Frame("front", np.ascontiguousarray(picture(1)), now_s + 0.2), now_s, wanted=False)
    desk.decider.on_change(WeightChange(400.0, now_s, now_s + 0.5, now_s + 0.9, 400.0))
    [event] = desk.decide(1)
    assert event.outcome == "asked"
    assert desk.telemetry.totals().counters["vision_failed"] == 1
