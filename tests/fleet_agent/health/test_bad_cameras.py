"""Stories about cameras that go bad under a whole cart: named in telemetry, and the others go on."""

from pathlib import Path

import pytest

from fleet_agent.config import CaptureConfig, CartConfig, HealthConfig, TelemetryConfig
from tests.fleet_agent.simulated_cart import SimulatedCart, running
from tests.fleet_agent.worlds import config

SETTINGS = config(
    telemetry=TelemetryConfig(window_s=10.0),
    capture=CaptureConfig(event_fps=6.0, event_before_s=0.8, reconnect_min_s=0.2, reconnect_max_s=1.0),
    health=HealthConfig(
        frozen_after_s=4.0, silent_after_s=8.0, stuck_source_s=5.0, source_restarts=2, blurred_below=0.0
    ),
)


def cart(path: Path, settings: CartConfig = SETTINGS) -> SimulatedCart:
    """Return a cart with two cameras."""
    return SimulatedCart(settings, path / "spool.db")


def shop(one: SimulatedCart, item_ix: int) -> None:
    """Put an item in, and see that it became an event."""
    before = len(one.told)
    one.stage.move(item_ix)
    assert [event.item_id for event in one.told[before:]] == [f"item-{item_ix}"]


def test_a_frozen_camera_is_named_and_is_no_evidence(tmp_path: Path) -> None:
    """A camera that repeats an item it once saw would vote for it for ever; it does not."""
    with running(cart(tmp_path)) as one:
        one.stage.set(shown=2, grams=0.0)
        one.clock.sleep(1.0)
        one.cameras["left"].mode = "frozen"
        one.stage.set(shown=None, grams=0.0)
        one.clock.sleep(20.0)
        shop(one, 1)
        assert [camera for camera, _ in one.told[-1].camera_confidence] == ["front"]
        one.cameras["left"].mode = "fine"
        one.clock.sleep(20.0)
        shop(one, 1)
        assert {camera for camera, _ in one.told[-1].camera_confidence} == {"front", "left"}
    assert one.counter("frozen/left") == 1
    assert one.counter("drop_frozen/left") == one.counter("frames_frozen/left") > 10
    assert one.counter("frozen/front") == 0
    codes = one.gauges("camera_bad/left")
    assert 1.0 in codes
    assert codes[-1] == 0.0


def test_a_black_camera_is_named_and_the_other_decides(tmp_path: Path) -> None:
    """A covered lens shows nothing: that is counted, and is no vote for nothing."""
    with running(cart(tmp_path)) as one:
        one.cameras["front"].mode = "black"
        one.clock.sleep(15.0)
        shop(one, 0)
        assert [camera for camera, _ in one.told[-1].camera_confidence] == ["left"]
    assert one.counter("black/front") == 1
    assert one.counter("drop_black/front") > 5
    assert one.gauges("camera_bad/front")[-1] == 2.0


def test_a_camera_that_changes_its_resolution_is_named_and_goes_on(tmp_path: Path) -> None:
    """Another size is told once, and its frames are as good as before."""
    with running(cart(tmp_path)) as one:
        one.cameras["left"].mode = "wide"
        one.clock.sleep(5.0)
        shop(one, 1)
        assert {camera for camera, _ in one.told[-1].camera_confidence} == {"front", "left"}
    assert one.counter("resolution_changed/left") == 1
    assert one.gauges("camera_bad/left")[-1] == 0.0


@pytest.mark.parametrize("mode", ["gone", "silent"])
def test_a_camera_that_vanishes_is_named_and_comes_back(tmp_path: Path, mode: str) -> None:
    """Unplugged or silent: lost once, tried again and again, the other camera goes on meanwhile."""
    with running(cart(tmp_path)) as one:
        one.cameras["left"].mode = mode  # type: ignore[assignment]
        one.clock.sleep(30.0)
        shop(one, 2)
        assert [camera for camera, _ in one.told[-1].camera_confidence] == ["front"]
        one.cameras["left"].mode = "fine"
        one.clock.sleep(30.0)
        shop(one, 2)
        assert {camera for camera, _ in one.told[-1].camera_confidence} == {"front", "left"}
    assert one.counter("camera_lost/left") >= 1
    assert one.counter("reconnects/left") >= 1
    assert 6.0 in one.gauges("camera_bad/left")
    assert one.gauges("camera_bad/left")[-1] == 0.0
    assert 0.0 in one.gauges("fps/left")
    assert min(one.gauges("fps/front")) > 0.5


def test_a_camera_that_hangs_in_its_driver_gets_a_new_thread(tmp_path: Path) -> None:
    """The heartbeat was set before the read, so the hang is seen; the thread is replaced, not waited for."""
    with running(cart(tmp_path)) as one:
        one.cameras["left"].mode = "hangs once"
        one.clock.sleep(18.0)
        shop(one, 1)
        assert {camera for camera, _ in one.told[-1].camera_confidence} == {"front", "left"}
        one.cameras["left"].hang.set()  # the old thread comes back, and must not disturb
        one.clock.sleep(10.0)
        shop(one, 1)
    assert one.counter("watchdog_replaced/left") == 1
    assert one.counter("camera_lost/left") == 1
    assert one.cameras["left"].opened == 2


def test_a_camera_that_hangs_again_and_again_is_given_up(tmp_path: Path) -> None:
    """Threads that hang are not collected without end; the cart goes on with the other camera."""
    with running(cart(tmp_path)) as one:
        one.cameras["left"].mode = "hangs"
        one.clock.sleep(60.0)
        shop(one, 1)
        opened = one.cameras["left"].opened
        one.cameras["left"].mode = "fine"
        one.cameras["left"].hang.set()  # all of them come back, and the camera works again
        one.clock.sleep(20.0)
        shop(one, 2)
        assert {camera for camera, _ in one.told[-1].camera_confidence} == {"front", "left"}
    assert one.counter("watchdog_replaced/left") == 2
    assert one.counter("watchdog_gave_up/left") == 1
    assert opened == 3
