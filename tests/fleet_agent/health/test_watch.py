"""Stories about heartbeats, and threads that are replaced."""

import math
import threading
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.engines.fake import FakeEngine
from fleet_agent.errors import CameraLostError, EngineError
from fleet_agent.health.guard import Guard, GuardedEngine
from fleet_agent.health.sense import Sense, Work
from fleet_agent.health.watch import Beat, Heartbeats, stuck
from fleet_agent.perception import Tensor
from fleet_agent.ports import SystemClock
from tests.fleet_agent.worlds import COLORS, SteppedClock, manifest, wait_for

beats = st.dictionaries(
    st.text(max_size=8),
    st.builds(Beat, doing=st.just("read"), since_s=st.floats(0, 1e6), limit_s=st.floats(0, 1e3)),
    max_size=8,
)


@given(beats, st.floats(0, 1e6))
def test_stuck_is_who_is_past_its_own_limit(given_beats: dict[str, Beat], now_s: float) -> None:
    """Exactly those, the longest first."""
    found = stuck(given_beats, now_s)
    late = {stage for stage, beat in given_beats.items() if now_s - beat.since_s > beat.limit_s}
    assert {one.stage for one in found} == late
    assert [one.for_s for one in found] == sorted((one.for_s for one in found), reverse=True)


def test_a_call_that_never_returns_is_seen_because_the_heartbeat_came_before_it() -> None:
    """While the call is in the driver the stage is late; once it is back nobody is."""
    clock = SteppedClock()
    heartbeats = Heartbeats(clock)
    guard = Guard("capture/front", heartbeats, 5.0, lambda: CameraLostError("front", "hung"))
    with guard.calling("read", 1.0):
        clock.now_s += 5.9
        assert heartbeats.stuck() == []
        clock.now_s += 0.2
        (late,) = heartbeats.stuck()
        assert (late.stage, late.doing) == ("capture/front", "read")
    assert heartbeats.stuck() == []


def test_a_thread_that_was_given_up_cannot_clear_its_successors_heartbeat() -> None:
    """The old call comes back late: it gets an error, and the new one's heartbeat stays."""
    clock = SteppedClock()
    heartbeats = Heartbeats(clock)
    old = Guard("scale", heartbeats, 1.0, lambda: CameraLostError("scale", "hung"))
    new = Guard("scale", heartbeats, 1.0, lambda: CameraLostError("scale", "hung"))
    lost = False
    try:
        with old.calling("read"):
            old.abandon()
            heartbeats.set("scale", "open", 1.0)
    except CameraLostError:
        lost = True
    clock.now_s += 2.0
    assert lost
    assert [late.doing for late in heartbeats.stuck()] == ["open"]
    with new.calling("read"):
        assert heartbeats.stuck() == []


def test_a_run_of_the_network_has_a_heartbeat_too() -> None:
    """An inference that hangs is seen as the engine's; one that is back is not."""
    clock = SteppedClock()
    heartbeats = Heartbeats(clock)
    seen: list[str] = []

    class Slow(FakeEngine):
        """A network that takes a minute."""

        def infer(self, frames: int) -> Mapping[str, Tensor]:
            """Take it."""
            clock.now_s += 60.0
            seen.extend(late.stage for late in heartbeats.stuck())
            return super().infer(frames)

    engine = GuardedEngine(Slow(manifest(), COLORS, cameras=1), heartbeats, 30.0)
    engine.infer(1)
    assert seen == ["engine"]
    assert heartbeats.stuck() == []
    assert not engine.failing


def test_an_engine_that_fails_says_so_until_it_works_again() -> None:
    """Its last run is what counts, for whoever asks whether the cart is ready."""

    class Moody(FakeEngine):
        """A network that fails while it is broken."""

        broken = False

        def infer(self, frames: int) -> Mapping[str, Tensor]:
            """Fail, or do not."""
            if self.broken:
                raise EngineError("out of memory")
            return super().infer(frames)

    moody = Moody(manifest(), COLORS, cameras=1)
    engine = GuardedEngine(moody, Heartbeats(SteppedClock()), 30.0)
    found = []
    for broken in (False, True, False):
        moody.broken = broken
        with suppress(EngineError):
            engine.infer(1)
        found.append(engine.failing)
    assert found == [False, True, False]


def test_an_engine_that_answers_no_numbers_is_failing_and_counted() -> None:
    """NaN or infinity; minus infinity is a sure no, and rows beyond the frames mean nothing."""

    class Answering(FakeEngine):
        """A network that answers what it is told to."""

        said = 0.5

        def infer(self, frames: int) -> Mapping[str, Tensor]:
            """Answer with one odd value in the first row, and nonsense in the row without a frame."""
            scores = np.full((2, 3, 4, 4), 0.5, np.float32)
            scores[0, 1, 2, 3] = self.said
            scores[frames:] = np.nan
            return {"scores": scores}

    odd = Answering(manifest(), COLORS, cameras=2)
    counted: list[float] = []
    engine = GuardedEngine(
        odd, Heartbeats(SteppedClock()), 30.0, on_not_finite=lambda: counted.append(odd.said)
    )
    found = []
    for odd.said in (0.5, math.nan, -math.inf, math.inf, 3e38, 0.5):
        engine.infer(1)
        found.append(engine.failing)
    assert found == [False, True, False, True, False, False]
    assert [math.isnan(value) or value for value in counted] == [True, math.inf]


def test_replacements_are_bounded_and_none_comes_after_the_stop() -> None:
    """Two hanging threads are replaced, the third is only given up."""
    release = threading.Event()
    heartbeats = Heartbeats(SystemClock())
    started: list[int] = []

    def make(stopping: threading.Event) -> Work:
        def run() -> None:
            started.append(1)
            release.wait(20.0)
            stopping.wait(20.0)

        return Work(run, Guard("scale", heartbeats, 1.0, lambda: CameraLostError("scale", "hung")))

    sense = Sense("cart-scale", make, clock=SystemClock(), most_hanging=2)
    sense.start()
    assert [sense.replace(), sense.replace(), sense.replace()] == [True, True, False]
    wait_for(lambda: len(started) == 3)
    assert sense.join(0.1)
    assert not sense.revive()
    release.set()
    wait_for(sense.revive)  # those that hung have come back: there is room again
    wait_for(lambda: len(started) == 4)
    sense.begin_stop()
    assert not sense.replace()
