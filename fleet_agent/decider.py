"""The cart's deciding thread: looks at frames, and turns settled weight changes into item events.

It sleeps until a frame is wanted, a weight change has settled, or a window ends.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from fleet_agent.basket.checkout import Checkout
from fleet_agent.basket.rest import Rest
from fleet_agent.config import CartConfig
from fleet_agent.errors import EngineError
from fleet_agent.events import Label, Session
from fleet_agent.frame_buffer import FrameBuffer, Seen
from fleet_agent.health.pace import Pace
from fleet_agent.movement import (
    Span,
    evidence_of,
    frames_in,
    last_batches,
    newest_looked_s,
    next_live,
    span_of,
)
from fleet_agent.perception import Detection, Frame
from fleet_agent.ports import Clock
from fleet_agent.reporter import Reporter
from fleet_agent.settling import WeightChange
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision, batch_window_s

log = structlog.get_logger()

# Idle looks remembered per camera: the newest from before a movement is what was there already.
IDLE_LOOKS = 4
# An idle look counts as what was there already for this long: longer, and what has left the cart since is
# still taken for clutter; much shorter, and a cart that looks rarely knows of no clutter.
IDLE_LOOK_LASTS_S = 60.0


@dataclass(frozen=True, slots=True)
class Renewal:
    """A way to another network.

    Attributes:
        make: Called by the deciding thread, which owns what it returns; None: all stays as it is.
        forgets: It is of another model: what was seen so far was named by the former one's classes.
    """

    make: Callable[[], Vision | None]
    forgets: bool = False


class Decider:
    """One cart's perception and decisions.

    Args:
        config: Settings of the cart.
        vision: The network and what is around it.
        buffers: Frames by camera.
        telemetry: Counts.
        reporter: Where events and windows go.
        clock: Time.
        checkout: Explains weight changes, and tells and books them; the deciding thread owns it.
        heartbeat: Told what comes next and how many seconds it will wait, before it begins.
    """

    def __init__(
        self,
        config: CartConfig,
        *,
        vision: Vision,
        buffers: Mapping[str, FrameBuffer],
        telemetry: Telemetry,
        reporter: Reporter,
        clock: Clock,
        checkout: Checkout,
        heartbeat: Callable[[str, float], None] = lambda _doing, _wait_s: None,
    ) -> None:
        self._config = config
        self._vision = vision
        self._buffers = buffers
        # Those that are looked through: all, unless the pace says otherwise.
        self._looking: Mapping[str, FrameBuffer] = buffers
        self._telemetry = telemetry
        self._reporter = reporter
        self._clock = clock
        self._checkout = checkout
        self._heartbeat = heartbeat
        self._condition = clock.condition()
        self._poked = False
        self._stopping = False
        # What the deciding thread has to deal with, in the order in which it happened.
        self._inbox: deque[WeightChange | Label | Session | Renewal] = deque()
        self._moving_since_s: float | None = None
        self._settled_s = -math.inf
        fps = config.model.idle_inference_fps
        self._idle_period_s = 1.0 / fps if fps > 0 else math.inf
        self._active_period_s = 1.0 / config.model.active_inference_fps
        self._batch_window_s = batch_window_s(config.cameras, config.capture)
        # When perception wants a frame again; read by the capture threads without a lock.
        self._wanted_s = clock.monotonic_s() if fps > 0 else math.inf
        self._window_end_s = clock.monotonic_s() + config.telemetry.window_s
        self._idle_looks: dict[str, deque[Seen]] = {name: deque(maxlen=IDLE_LOOKS) for name in buffers}
        # When something last happened that only a shopper, or somebody beside the cart, does.
        self._active_s = clock.monotonic_s()

    # Called by other threads.

    def on_frame(self, frame: Frame) -> None:
        """Take a frame of a capture thread."""
        now_s = self._clock.monotonic_s()
        wanted = now_s >= self._wanted_s and frame.camera in self._looking
        resting = self._moving_since_s is None
        self._buffers[frame.camera].put(frame, now_s, wanted=wanted and resting)
        if wanted:
            self._poke()

    def on_movement(self, since_s: float | None) -> None:
        """Note that the weight begins to move, or (None) that it came back to where it was."""
        self._moving_since_s = since_s
        self._want_after(0.0 if since_s is not None else self._idle_period_s)
        self._poke()

    def on_change(self, change: WeightChange) -> None:
        """Note a settled change."""
        self._inbox.append(change)
        self._moving_since_s = None
        self._poke()

    def on_told(self, said: Label | Session) -> None:
        """Note what people said: the truth about an event, or that a trip begins or ends."""
        if isinstance(said, Session):
            said = replace(said, at_s=self._clock.monotonic_s())
        self._inbox.append(said)
        self._poke()

    def renew_vision(self, renewal: Renewal) -> None:
        """Look through another network from the next look on."""
        self._inbox.append(renewal)
        self._poke()

    def set_pace(self, pace: Pace) -> None:
        """Look more or less from now on, and through all cameras or some."""
        model = self._config.model
        idle_fps = model.idle_inference_fps if pace.idle else 0.0
        self._idle_period_s = 1.0 / idle_fps if idle_fps > 0 else math.inf
        self._active_period_s = 1.0 / (model.active_inference_fps * pace.active_share)
        names = self._buffers.keys() if pace.cameras is None else pace.cameras & self._buffers.keys()
        self._looking = {name: self._buffers[name] for name in self._buffers if name in names}
        if self._moving_since_s is None:
            self._want_after(self._idle_period_s)
        self._poke()

    def rest(self) -> Rest:
        """Return what goes on at the cart; exact when the deciding thread asks, nearly so for any other."""
        return Rest(
            busy=bool(self._inbox) or self._moving_since_s is not None,
            session=self._checkout.session_id is not None,
            empty=self._checkout.empty,
            idle_s=self._clock.monotonic_s() - self._active_s,
        )

    def stop(self) -> None:
        """End `run` after what it is doing."""
        self._stopping = True
        self._poke()

    def _want_after(self, period_s: float) -> None:
        self._wanted_s = self._clock.monotonic_s() + period_s

    def _poke(self) -> None:
        with self._condition:
            self._poked = True
            self._condition.notify()

    # The deciding thread.

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping:
            self._heartbeat("decide", 0.0)
            now_s = self._clock.monotonic_s()
            if self._inbox:
                self._deal_with(self._inbox.popleft())
            elif now_s >= self._window_end_s:
                self._window_end_s = now_s + self._config.telemetry.window_s
                self._reporter.close_window()
            elif not self._look(now_s):
                self._sleep(now_s)

    def _deal_with(self, news: WeightChange | Label | Session | Renewal) -> None:
        if isinstance(news, Renewal):
            self._heartbeat("renew", 0.0)
            self._renew(news)
            return
        self._active_s = self._clock.monotonic_s()
        if isinstance(news, WeightChange):
            self._decide(news)
        else:
            self._checkout.hear(news)

    def _renew(self, renewal: Renewal) -> None:
        vision = renewal.make()
        if vision is None:
            return
        self._vision = vision
        if renewal.forgets:
            for name, buffer in self._buffers.items():
                buffer.forget()
                self._idle_looks[name].clear()

    def _sleep(self, now_s: float) -> None:
        until_s = self._window_end_s
        # A frame that comes when one is wanted wakes us; one that came before is waiting for its time.
        if self._wanted_s > now_s and any(buffer.has_new for buffer in self._looking.values()):
            until_s = min(until_s, self._wanted_s)
        with self._condition:
            if not self._poked and until_s > now_s:
                self._heartbeat("sleep", until_s - now_s)
                self._condition.wait(until_s - now_s)
            self._poked = False

    def _look(self, now_s: float) -> bool:
        """Look at frames if it is time and there are some; False when there is nothing to do."""
        since_s = self._moving_since_s
        if now_s < self._wanted_s:
            return False
        batch = self._live_batch(since_s) if since_s is not None else self._idle_batch(now_s)
        if not batch:
            return False
        wanted_s = self._wanted_s
        self._want_after(self._idle_period_s if since_s is None else self._active_period_s)
        self._run_vision(batch, wanted_s)
        return True

    def _idle_batch(self, now_s: float) -> list[Seen]:
        self._wait_for_others()
        taken = {name: buffer.take(now_s) for name, buffer in self._looking.items()}
        for name, seen in taken.items():
            if seen is not None:
                self._idle_looks[name].append(seen)
        return [seen for seen in taken.values() if seen is not None]

    def _wait_for_others(self) -> None:
        """Give the cameras that are a little late a chance to be in the same batch."""
        if not any(buffer.has_new for buffer in self._looking.values()):
            return
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopping or all(buffer.has_new for buffer in self._looking.values()),
                self._batch_window_s,
            )

    def _live_batch(self, since_s: float) -> list[Seen]:
        span = self._span(since_s, math.inf)
        frames = frames_in(self._looking, span)
        budget = self._config.capture.event_frames
        chosen = [next_live(seen, span, budget) for seen in frames.values()]
        return [seen for seen in chosen if seen is not None]

    def _span(self, onset_s: float, moved_s: float) -> Span:
        return span_of(
            self._config.capture, onset_s=onset_s, moved_s=moved_s, previous_settled_s=self._settled_s
        )

    def _run_vision(self, batch: list[Seen], wanted_s: float) -> None:
        try:
            self._vision.look(batch, wanted_s)
        except EngineError as error:
            log.warning("inference failed", cart=self._config.cart, why=str(error))
            self._telemetry.count("engine_errors")
            _unseen(batch)
        except Exception:  # a picture that breaks the code around the network must not cost the weight change
            log.exception("vision failed", cart=self._config.cart)
            self._telemetry.count("vision_failed")
            _unseen(batch)

    def _decide(self, change: WeightChange) -> None:
        span = self._span(change.started_s, change.moved_s)
        frames = frames_in(self._looking, span)
        for batch in last_batches(frames, self._config.capture.event_frames):
            self._run_vision(batch, change.settled_s)
        self._settled_s = change.settled_s
        if self._moving_since_s is None:
            self._want_after(self._idle_period_s)
        self._checkout.settle(change, evidence_of(frames, self._clutter(span)), newest_looked_s(frames))

    def _clutter(self, span: Span) -> dict[str, tuple[Detection, ...]]:
        """Return what each camera saw when nothing moved, before this movement's frames begin."""
        found: dict[str, tuple[Detection, ...]] = {}
        for name, looks in self._idle_looks.items():
            while looks and looks[-1].frame.captured_s >= span.first_s:
                looks.pop()  # it shows this movement's hand
            if looks and looks[-1].frame.captured_s >= span.first_s - IDLE_LOOK_LASTS_S:
                found[name] = looks[-1].detections or ()
        return found


def _unseen(batch: list[Seen]) -> None:
    """Note that frames show nothing: without detections the shopper is asked, and the cart goes on."""
    for seen in batch:
        seen.detections = ()
