"""One cart: cameras and scale in, item events and telemetry out. Many live in one process.

Threads: one per camera, one for the scale, one that decides, and the transport's own. All of them
sleep until something happens.
"""

import random
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

import structlog

from fleet_agent.capture import Backoff, CaptureLoop
from fleet_agent.config import CartConfig
from fleet_agent.decider import Decider
from fleet_agent.delivery import Delivery
from fleet_agent.events import ItemEvent, Label
from fleet_agent.frame_buffer import FrameBuffer
from fleet_agent.host import hardware_name
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import CameraSource, Clock, ScaleSource, Transport
from fleet_agent.reporter import Reporter
from fleet_agent.settling import SettleLimits
from fleet_agent.spool import Spool
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision
from fleet_agent.weighing import WeighingLoop
from fleet_agent.wire import Identity, state_message
from fleet_protocol.messages import CartState

log = structlog.get_logger()

# What a clean stop leaves the transport, at least, of the time it was given.
LEAST_FAREWELL_S = 0.5


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
            `stop`. The caller closes it.
        manifest: Of the engine's model.
        spool: Of this cart alone. The caller closes it after `stop`.
        transport: The way to the broker.
        clock: Time.
        on_event: Called with every item event once it is durable in the spool, from the agent's
            thread; must not block.
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
    ) -> None:
        self._config = config
        self._spool = spool
        self._transport = transport
        self._clock = clock
        self._stopping = threading.Event()
        self._stopped = False
        self._telemetry = Telemetry()
        self._identity = _identity(config, cameras, manifest, spool)
        self._reporter = Reporter(
            self._identity,
            spool=spool,
            telemetry=self._telemetry,
            clock=clock,
            wake=transport.wake,
            on_late=on_event or (lambda _: None),
        )
        self._buffers = {camera.name: self._buffer(camera.name) for camera in cameras}
        vision = Vision(engine, manifest, telemetry=self._telemetry, clock=clock)
        self._decider = Decider(
            config,
            manifest,
            vision=vision,
            buffers=self._buffers,
            telemetry=self._telemetry,
            reporter=self._reporter,
            clock=clock,
            on_event=on_event,
        )
        self._threads = [self._capture_thread(camera) for camera in cameras]
        if scale is not None:
            self._threads.append(self._scale_thread(scale))
        self._decider_thread = self._thread("decide", self._decider.run)

    def _buffer(self, camera: str) -> FrameBuffer:
        return FrameBuffer(self._config.capture, lambda name: self._telemetry.count(name, camera=camera))

    def _thread(self, role: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target, name=f"{self._config.cart}-{role}", daemon=True)

    def _capture_thread(self, camera: CameraSource) -> threading.Thread:
        loop = CaptureLoop(
            camera,
            self._config.capture,
            telemetry=self._telemetry,
            clock=self._clock,
            deliver=self._decider.on_frame,
            stopping=self._stopping,
        )
        return self._thread(camera.name, loop.run)

    def _scale_thread(self, scale: ScaleSource) -> threading.Thread:
        capture, settings = self._config.capture, self._config.scale
        rng = random.Random()  # noqa: S311  # jitter is no secret
        loop = WeighingLoop(
            scale,
            SettleLimits(settings.settle_s, settings.noise_g, settings.min_change_g),
            backoff=Backoff(capture.reconnect_min_s, capture.reconnect_max_s, rng),
            telemetry=self._telemetry,
            on_movement=self._decider.on_movement,
            on_change=self._decider.on_change,
            stopping=self._stopping,
        )
        return self._thread("scale", loop.run)

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
            )
        )
        for thread in (self._decider_thread, *self._threads):
            thread.start()

    def _state(self, *, online: bool, session: int) -> CartState:
        held = self._spool.held() if online else []
        return state_message(
            self._identity, online=online, session=session, at_ms=self._clock.epoch_ms(), held=held
        )

    def begin_stop(self) -> None:
        """Tell all threads to end, without waiting: `stop` of many agents is then quick."""
        self._stopping.set()
        self._decider.stop()

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
        for thread in (self._decider_thread, *self._threads):
            thread.join(max(0.0, deadline_s - self._clock.monotonic_s()))
            if thread.is_alive():
                log.warning("thread does not end", thread=thread.name)
        self._reporter.close_window()
        self._transport.stop(max(LEAST_FAREWELL_S, deadline_s - self._clock.monotonic_s()))

    def begin_session(self, session_id: str | None) -> None:
        """Name the shopping trip that coming events belong to; None ends it."""
        self._reporter.session_id = session_id

    def record_label(self, label: Label) -> None:
        """Put what a shopper, a barcode or an auditor said about an event into the spool.

        Raises:
            SpoolError: it could not be made durable.
        """
        self._reporter.label(label)


def _identity(
    config: CartConfig, cameras: Sequence[CameraSource], manifest: ModelManifest, spool: Spool
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
    )
