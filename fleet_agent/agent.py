"""One cart: cameras and scale in, item events and telemetry out. Many live in one process.

Threads: one per camera, one for the scale, one that decides, one that looks after the others, and the
transport's own. All of them sleep until something happens.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import structlog

from fleet_agent.basket.basket import make_basket
from fleet_agent.basket.checkout import Checkout
from fleet_agent.basket.rest import Rest
from fleet_agent.config import CartConfig
from fleet_agent.decider import Decider, Renewal
from fleet_agent.delivery import Delivery
from fleet_agent.events import ItemEvent, Label, Session, heard_by_row
from fleet_agent.frame_buffer import FrameBuffer
from fleet_agent.health.camera_watch import CameraWatch, camera_limits
from fleet_agent.health.caretaker import Caretaker
from fleet_agent.health.guard import GuardedEngine
from fleet_agent.health.monitor import Surroundings
from fleet_agent.health.pace import Pace
from fleet_agent.health.sense import Sense
from fleet_agent.health.watch import Heartbeats
from fleet_agent.host import hardware_name
from fleet_agent.manifest import ModelManifest
from fleet_agent.model_change import ModelChange, Sight
from fleet_agent.perception import Frame, PerceptionEngine
from fleet_agent.ports import CameraSource, Clock, ScaleSource, Transport
from fleet_agent.reporter import Reporter
from fleet_agent.senses import SenseMaker
from fleet_agent.shrink import Shrinker
from fleet_agent.spool import Spool
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision
from fleet_agent.wire import Identity, UpdateStep, state_message
from fleet_protocol.messages import CartState

log = structlog.get_logger()

# What a clean stop leaves the transport, at least, of the time it was given.
LEAST_FAREWELL_S = 0.5
# Pause after an unforeseen error of the deciding thread: a fault that lasts must not heat the cart.
AFTER_FAILURE_S = 1.0
# What is counted when a network fails, or something around it.
FAILURE_COUNTERS = ("engine_errors", "engine_not_finite", "vision_failed", "decider_failed")
# Heartbeats that tell of the network and of who runs it.
SIGHT_STAGES = ("decide", "engine")


def agent_version() -> str:
    """Return the version of the installed agent."""
    try:
        return version("cartwright")
    except PackageNotFoundError:  # run from a checkout
        return "0.0.0"


class Agent:
    """One cart. No globals: what it needs is handed in, and it closes nothing it did not open.

    Args:
        config: Settings of the cart.
        cameras: Opened and closed by the agent's capture threads; names are unique.
        scale: Opened and closed by the agent's scale thread; None for a cart without scale, which
            reports telemetry and never an item event.
        engine: Ready to run, with a row of input per camera; the agent's deciding thread owns it until
            `stop`. `close_engine` closes it, or whoever made it.
        manifest: Of the engine's model.
        spool: Of this cart alone. The caller closes it after `stop`.
        transport: The way to the broker.
        clock: Time.
        on_event: Called with every item event once it is durable in the spool, from the agent's
            thread; must not block.
        surroundings: Who is told how the agent is, and what happens when it hangs; None: nobody and
            nothing, as is right for one of many agents in a process.
        telemetry: Counts; None: a new one. A caller that counted before there was an agent hands in its own.
        orders: Topics on which the cloud asks for something.
        on_order: Told topic and payload of what comes on them, from the transport's thread; must not block.
    """

    def __init__(
        self,
        config: CartConfig,
        *,
        cameras: Sequence[CameraSource],
        scale: ScaleSource | None,
        engine: PerceptionEngine,
        manifest: ModelManifest,
        spool: Spool,
        transport: Transport,
        clock: Clock,
        on_event: Callable[[ItemEvent], None] | None = None,
        surroundings: Surroundings | None = None,
        telemetry: Telemetry | None = None,
        orders: tuple[str, ...] = (),
        on_order: Callable[[str, bytes], None] = lambda _topic, _payload: None,
    ) -> None:
        self._config = config
        self._orders = orders
        self._on_order = on_order
        self._manifest = manifest
        self._spool = spool
        self._transport = transport
        self._clock = clock
        self._stopping = clock.event()
        # Engines that nobody runs yet. Under the lock: none is offered to a deciding thread that ends.
        self._offered: list[PerceptionEngine] = []
        self._offering = threading.Lock()
        self._stopped = False
        self._telemetry = telemetry or Telemetry()
        self._beats = Heartbeats(clock)
        self._identity = _identity(config, cameras, manifest, spool, engine)
        on_row = heard_by_row(on_event)
        self._reporter = Reporter(
            self._identity,
            spool=spool,
            telemetry=self._telemetry,
            clock=clock,
            wake=transport.wake,
            on_late=on_row,
        )
        self._buffers = {camera.name: self._buffer(camera.name) for camera in cameras}
        self._engine = GuardedEngine(
            engine,
            self._beats,
            config.health.stuck_decider_s,
            on_not_finite=lambda: self._telemetry.count("engine_not_finite"),
        )
        self._checkout = Checkout(
            config.fusion,
            manifest,
            basket=make_basket(config.fusion, manifest, self._telemetry, beside=spool.path),
            telemetry=self._telemetry,
            reporter=self._reporter,
            clock=clock,
            on_event=on_row,
        )
        self._decider = Decider(
            config,
            vision=self._vision(),
            buffers=self._buffers,
            telemetry=self._telemetry,
            reporter=self._reporter,
            clock=clock,
            checkout=self._checkout,
            heartbeat=self._heartbeat,
        )
        limits = camera_limits(config.health)
        self._shrinkers = {camera.name: Shrinker(manifest.input) for camera in cameras}
        self._watches = {c.name: CameraWatch(c.name, limits, self._telemetry) for c in cameras}
        self._senses = self._make_senses(cameras, scale)
        self._pace = Pace()
        self._care = Caretaker(
            config,
            clock=clock,
            telemetry=self._telemetry,
            beats=self._beats,
            cameras=self._watches,
            senses=self._senses,
            engine=self._engine,
            spool_works=lambda: self._reporter.works,
            set_pace=self._set_pace,
            surroundings=surroundings or Surroundings(),
        )
        self._decider_thread = clock.thread(self._decide, f"{config.cart}-decide")

    def _buffer(self, camera: str) -> FrameBuffer:
        return FrameBuffer(self._config.capture, lambda name: self._telemetry.count(name, camera=camera))

    def _make_senses(self, cameras: Sequence[CameraSource], scale: ScaleSource | None) -> dict[str, Sense]:
        maker = SenseMaker(self._config, telemetry=self._telemetry, clock=self._clock, beats=self._beats)
        senses = {
            f"capture/{c.name}": maker.camera(c, self._watches[c.name], self._on_frame) for c in cameras
        }
        if scale is not None:
            senses["scale"] = maker.scale(
                scale, on_movement=self._decider.on_movement, on_change=self._decider.on_change
            )
        return senses

    def _heartbeat(self, doing: str, wait_s: float) -> None:
        self._beats.set("decide", doing, self._config.health.stuck_decider_s + wait_s)

    def _on_frame(self, frame: Frame) -> None:
        if self._pace.keeps(frame.camera):
            self._decider.on_frame(self._shrinkers[frame.camera].shrunk(frame))

    def _set_pace(self, pace: Pace) -> None:
        self._pace = pace
        self._decider.set_pace(pace)

    def _decide(self) -> None:
        """Decide until the stop; an error that nobody foresaw costs what was in hand, not the cart."""
        while not self._stopping.is_set():
            try:
                self._decider.run()
            except Exception:
                log.exception("deciding failed", cart=self._config.cart)
                self._telemetry.count("decider_failed")
                self._stopping.wait(AFTER_FAILURE_S)
        self._beats.end("decide")

    @property
    def health_port(self) -> int | None:
        """Where `/live`, `/ready` and `/metrics` are served; None when they are not."""
        return self._care.port

    @property
    def identity(self) -> Identity:
        """Who this cart is on the wire."""
        return self._identity

    def start(self) -> None:
        """Start the threads; returns at once. Cameras and scale are opened by their threads."""
        if self._spool.moved_aside is not None:
            log.error("damaged spool moved aside", cart=self._config.cart, to=str(self._spool.moved_aside))
            self._telemetry.count("spool_damaged")
        mqtt = self._config.mqtt
        self._transport.start(
            Delivery(
                self._spool,
                self._state,
                store=self._config.store,
                cart=self._config.cart,
                max_in_flight=mqtt.max_in_flight,
                resend_after_s=mqtt.resend_after_s,
                on_problem=self._telemetry.count,
                orders=self._orders,
                on_order=self._on_order,
            )
        )
        self._decider_thread.start()
        for sense in self._senses.values():
            sense.start()
        self._care.start()

    def _state(self, *, online: bool, session: int) -> CartState:
        held = self._spool.held() if online else []
        return state_message(
            self._identity, online=online, session=session, at_ms=self._clock.epoch_ms(), held=held
        )

    def begin_stop(self) -> None:
        """Tell all threads to end, without waiting: `stop` of many agents is then quick."""
        with self._offering:
            self._stopping.set()
        for sense in self._senses.values():
            sense.begin_stop()
        self._decider.stop()
        self._care.begin_stop()

    def stop(self, timeout_s: float) -> None:
        """End all threads, write the last window, say farewell to the broker. Once; later calls do nothing.

        Args:
            timeout_s: Longest wait. A camera that hangs in its driver is left behind after it.
        """
        if self._stopped:
            return
        self._stopped = True
        deadline_s = self._clock.monotonic_s() + timeout_s
        self.begin_stop()
        joins = {self._decider_thread.name: self._join_decider}
        joins.update({sense.name: sense.join for sense in self._senses.values()})
        for name, join in joins.items():
            if not join(max(0.0, deadline_s - self._clock.monotonic_s())):
                log.warning("thread does not end", thread=name)
        self._care.stop(max(0.0, deadline_s - self._clock.monotonic_s()))
        self._reporter.close_window()
        self._transport.stop(max(LEAST_FAREWELL_S, deadline_s - self._clock.monotonic_s()))
        self._care.farewell()

    def _join_decider(self, timeout_s: float) -> bool:
        self._decider_thread.join(timeout_s)
        return not self._decider_thread.is_alive()

    def use_engine(self, engine: PerceptionEngine, on_used: Callable[[], None] | None = None) -> bool:
        """Run another engine of the same model from the next look on; the one before is closed.

        Returns at once: the deciding thread changes over between two looks, and a new birth tells it.

        Args:
            engine: Ready to run, with a row of input per camera; it belongs to the agent from now on.
            on_used: Called by the deciding thread when it took the engine over; must not block.

        Returns:
            Whether it will be used; a cart that stops closes it instead.
        """
        with self._offering:
            if self._stopping.is_set():
                self._close(engine)
                return False
            self._offered.append(engine)
            self._decider.renew_vision(Renewal(lambda: self._take_over(engine, on_used)))
        return True

    def _take_over(self, engine: PerceptionEngine, on_used: Callable[[], None] | None) -> Vision:
        """Change over to another engine; what fails leaves the one before, and its eyes, in place."""
        self._offered.remove(engine)
        before = self._engine.replace(engine)
        try:
            vision = self._vision()
        except BaseException:
            self._close(self._engine.replace(before))
            raise
        self._identity = replace(self._identity, engine=str(engine.info))
        log.info("engine renewed", cart=self._config.cart, engine=str(engine.info))
        self._close(before)
        self._transport.renew()
        if on_used is not None:
            on_used()
        return vision

    def use_model(self, change: ModelChange) -> bool:
        """Offer another model; returns at once. The deciding thread takes it over between two looks, or not.

        What was counted so far leaves in a window of the former model's digest, and a new birth tells the new
        one. The books of the basket stay. An offer is made once: who was told "not now" offers again.

        Returns:
            Whether it will be asked for; a cart that stops takes nothing over.
        """
        with self._offering:
            if self._stopping.is_set():
                return False
            self._decider.renew_vision(Renewal(lambda: self._change_model(change), forgets=True))
        return True

    def _change_model(self, change: ModelChange) -> Vision | None:
        vision, why = None, ""
        try:
            if change.may(self._decider.rest()):
                self._reporter.close_window()
                vision = self._look_through(change)
        except Exception as error:
            log.exception("model does not change", cart=self._config.cart)
            why = str(error) or type(error).__name__
        change.done(vision is not None, why)
        return vision

    def _look_through(self, change: ModelChange) -> Vision:
        """Change over to another model; what fails leaves the one before in place."""
        before, manifest = self._engine.replace(change.engine), self._manifest
        self._manifest = change.manifest
        try:
            vision = self._vision()
            change.commit()
        except BaseException:
            self._engine.replace(before)
            self._manifest = manifest
            raise
        self._checkout.use_model(change.manifest)
        self._shrinkers = {name: Shrinker(change.manifest.input) for name in self._shrinkers}
        engine = str(change.engine.info)
        self._identity = replace(self._identity, model=change.manifest.digest, engine=engine)
        self._reporter.speak_as(self._identity)
        log.info("model changed", cart=self._config.cart, model=change.manifest.digest, engine=engine)
        self._close(before)
        self._transport.renew()
        return vision

    def rest(self) -> Rest:
        """Return what goes on at the cart."""
        return self._decider.rest()

    def sight(self) -> Sight:
        """Return how the network has fared since the start."""
        totals = self._telemetry.totals()
        looks = totals.stages.get("infer")
        return Sight(
            looks=0 if looks is None else looks.count,
            looks_ms=totals.sums_ms.get("infer", 0.0),
            failures=sum(totals.counters.get(name, 0) for name in FAILURE_COUNTERS),
            stuck=next((f"{s.stage}: {s.doing}" for s in self._beats.stuck() if s.stage in SIGHT_STAGES), ""),
            spool_works=self._reporter.works,
        )

    def report_update(self, step: UpdateStep) -> None:
        """Put a step of a model update into the spool.

        Raises:
            SpoolError: it could not be made durable.
        """
        self._reporter.update(step)

    def _close(self, engine: PerceptionEngine) -> None:
        """Close an engine that nobody runs; a driver that fails at it costs memory, not sight."""
        try:
            engine.close()
        except Exception:
            log.exception("engine does not close", cart=self._config.cart)
            self._telemetry.count("engine_close_failed")

    def close_engine(self) -> None:
        """Close whatever engine runs by now, and those that were offered too late; after `stop`."""
        while self._offered:
            self._close(self._offered.pop())
        self._engine.close()

    def _vision(self) -> Vision:
        return Vision(self._engine, self._manifest, telemetry=self._telemetry, clock=self._clock)

    def begin_session(self, session_id: str | None) -> None:
        """Name the shopping trip that coming events belong to; None ends it."""
        self._reporter.session_id = session_id
        self._decider.on_told(Session(session_id))

    def record_label(self, label: Label) -> None:
        """Put what a shopper, a barcode or an auditor said about an event into the spool.

        Raises:
            SpoolError: it could not be made durable.
        """
        self._reporter.label(label)
        self._decider.on_told(label)


def _identity(
    config: CartConfig,
    cameras: Sequence[CameraSource],
    manifest: ModelManifest,
    spool: Spool,
    engine: PerceptionEngine,
) -> Identity:
    return Identity(
        store=config.store,
        cart=config.cart,
        boot=spool.boot_id,
        fw=agent_version(),
        model=manifest.digest,
        sim=config.simulated,
        cameras=tuple(camera.name for camera in cameras),
        hw=config.hardware or hardware_name(),
        engine=str(engine.info),
        labels=config.labels,
    )
