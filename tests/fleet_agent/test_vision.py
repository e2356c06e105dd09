"""Stories about one look: the frames of all cameras through the network at once."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest

from fleet_agent.config import CameraConfig, CaptureConfig
from fleet_agent.engines.fake import FakeEngine
from fleet_agent.errors import EngineError
from fleet_agent.frame_buffer import Seen
from fleet_agent.perception import EngineInfo, Frame, Tensor
from fleet_agent.ports import SystemClock
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision, batch_window_s
from tests.fleet_agent.worlds import COLORS, manifest, picture

CAMERAS = ("front", "left", "right", "rear")


class WatchedEngine(FakeEngine):
    """The double of a network that remembers how it was called, and fails when told."""

    def __init__(self) -> None:
        super().__init__(manifest(), COLORS, cameras=len(CAMERAS))
        self.asked: list[int] = []
        self.broken = False

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Note how many frames were asked for."""
        self.asked.append(frames)
        if self.broken:
            raise EngineError("the device is gone")
        return super().infer(frames)


def world() -> tuple[WatchedEngine, Vision, Telemetry]:
    """Return an engine of four cameras with what is around it."""
    engine, telemetry = WatchedEngine(), Telemetry()
    return engine, Vision(engine, manifest(), telemetry=telemetry, clock=SystemClock()), telemetry


def seen(ix: int, item_ix: int | None) -> Seen:
    """Return a frame of a camera that shows an item."""
    return Seen(Frame(CAMERAS[ix], picture(item_ix), 0.0), 0.0)


def items(batch: list[Seen]) -> list[list[int] | None]:
    """Return what was seen in each frame; None where nobody looked."""
    return [None if s.detections is None else [d.item_ix for d in s.detections] for s in batch]


def test_all_cameras_are_seen_in_one_batch() -> None:
    """Four frames, one inference, each frame its own item, every stage timed."""
    engine, vision, telemetry = world()
    batch = [seen(0, 0), seen(1, 1), seen(2, 2), seen(3, None)]
    vision.look(batch, 0.0)
    assert items(batch) == [[0], [1], [2], []]
    assert engine.asked == [4]
    counts = telemetry.drain()
    assert set(counts.hist) == {"queue", "preprocess", "infer", "decode"}
    assert "padded_slots" not in counts.cnt


def test_rows_of_missing_cameras_are_padded_and_counted() -> None:
    """Two of four cameras: the engine is told so, and the other rows hold the pad colour."""
    engine, vision, telemetry = world()
    vision.look([seen(ix, 1) for ix in range(4)], 0.0)
    batch = [seen(1, 0), seen(3, 2)]
    vision.look(batch, 0.0)
    assert items(batch) == [[0], [2]]
    assert engine.asked == [4, 2]
    np.testing.assert_allclose(engine.input[2:], 114 / 255, atol=1e-6)
    assert telemetry.drain().cnt == {"padded_slots": 2}


def test_a_frame_that_is_no_picture_does_not_take_the_others_with_it() -> None:
    """It is counted as its camera's, sees nothing, and its row is padded."""
    engine, vision, telemetry = world()
    batch = [seen(0, 0), seen(1, 1), seen(2, 2)]
    batch[1] = Seen(Frame("left", np.zeros((0, 0, 3), np.uint8), 0.0), 0.0)
    vision.look(batch, 0.0)
    assert items(batch) == [[0], [], [2]]
    assert engine.asked == [2]
    assert telemetry.drain().cnt == {"padded_slots": 2, "drop_decode/left": 1}
    alone = [Seen(Frame("left", np.zeros((4, 4), np.uint8), 0.0), 0.0)]
    vision.look(alone, 0.0)
    assert items(alone) == [[]]
    assert engine.asked == [2]


def test_an_engine_that_fails_leaves_the_frames_as_they_were() -> None:
    """The deciding thread is told; when the engine is back, the same frames are seen."""
    engine, vision, _ = world()
    batch = [seen(0, 0), seen(1, 1)]
    engine.broken = True
    with pytest.raises(EngineError, match="the device is gone"):
        vision.look(batch, 0.0)
    assert items(batch) == [None, None]
    engine.broken = False
    vision.look(batch, 0.0)
    assert items(batch) == [[0], [1]]


def test_a_frame_kept_for_later_has_not_waited() -> None:
    """The queue counts from when perception wanted frames, not from when a frame came in."""
    _, vision, telemetry = world()
    now_s = SystemClock().monotonic_s()
    kept = Seen(Frame("front", picture(0), now_s - 60), now_s - 60)
    vision.look([kept], now_s)
    waited_ms = telemetry.totals().stages["queue"].quantile(1.0)
    assert waited_ms is not None
    assert waited_ms < 30_000


@pytest.mark.parametrize(
    ("rates", "longest_ms", "window_ms"),
    [((15.0, 15.0), 15.0, 15.0), ((60.0, 15.0), 15.0, 1000 / 120), ((), 15.0, 15.0), ((5.0,), 4.0, 4.0)],
)
def test_the_window_is_half_a_frame_and_no_longer_than_set(
    rates: tuple[float, ...], longest_ms: float, window_ms: float
) -> None:
    """Waiting longer than half a period for the other cameras waits for their next frame."""
    cameras = [CameraConfig(name=f"c{ix}", kind="video", source="x", fps=fps) for ix, fps in enumerate(rates)]
    window_s = batch_window_s(cameras, CaptureConfig(batch_window_ms=longest_ms))
    assert window_s * 1000 == pytest.approx(window_ms)


def test_the_double_says_what_it_is() -> None:
    """No figure of a double can pass as one of a network."""
    info: EngineInfo = WatchedEngine().info
    assert str(info).startswith("fake")
    other: Any = msgspec.structs.replace(manifest(), version="t2")
    assert other.digest == manifest().digest
