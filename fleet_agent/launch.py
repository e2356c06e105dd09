"""From a configuration to the parts of a running cart: used by the command line, `check` and tests."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import structlog

from fleet_agent.activation.opening import Started, start, without_store
from fleet_agent.activation.outcomes import Activated, ActivationProgress
from fleet_agent.agent import Agent
from fleet_agent.cameras import make_camera
from fleet_agent.config import CartConfig
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.errors import ActivationError
from fleet_agent.events import ItemEvent
from fleet_agent.health.monitor import Surroundings
from fleet_agent.health.process import process_surroundings, safe_config
from fleet_agent.manifest import load_manifest
from fleet_agent.ports import CameraSource, Clock, ScaleSource, SystemClock
from fleet_agent.scales import make_scale
from fleet_agent.spool import Spool
from fleet_agent.telemetry import Telemetry
from fleet_agent.transport_mqtt import MqttTransport
from fleet_agent.updates.opening import OpenRepository, UpdateDesk, make_updater, open_desk
from fleet_agent.updates.updater import Updater

log = structlog.get_logger()

SHIPPED_MODELS = Path(__file__).parent / "models"
# Of the models in the repository, the one that carts run unless they are told otherwise.
SHIPPED_MODEL = SHIPPED_MODELS / "v1"

# How often the thread of an activation asks whether the cart stops before it took the engine over. Lower
# wakes it for nothing; higher makes a stop wait.
USED_POLL_S = 0.5


def model_directory(config: CartConfig) -> Path:
    """Return the folder of the model that a cart starts with when its store holds none."""
    return Path(config.model.directory) if config.model.directory else SHIPPED_MODEL


def load_model(directory: Path, *, threads: int = 1) -> OnnxRuntimeModel:
    """Load a model's folder into ONNX Runtime and warm it up.

    Raises:
        ManifestError: its manifest is missing or wrong.
        EngineError: its ONNX file is missing, is another one, or does not fit the manifest.
    """
    manifest = load_manifest(directory)
    return OnnxRuntimeModel(directory, manifest, threads=threads)


def client_id(config: CartConfig) -> str:
    """Return how the broker knows a cart: by its id, as access lists of the contract expect."""
    return config.cart


@dataclass(frozen=True, slots=True)
class Senses:
    """What a cart sees and weighs with, for a program that brings its own.

    Attributes:
        cameras: With the names of the settings' cameras.
        scale: None for a cart without one.
        on_event: Told every durable item event.
    """

    cameras: Sequence[CameraSource]
    scale: ScaleSource | None
    on_event: Callable[[ItemEvent], None] | None = None


class Cart:
    """One cart as its configuration describes it: opens all its parts, and closes them.

    It starts with the best engine that is ready and serves; a better one (the plan of a first start, a
    plan that was lost) is made meanwhile in a child process, held against the reference, and taken over.

    Where updates are configured and there is a way to the repository, it does what the cloud asks.

    Args:
        config: Settings.
        clock: Time.
        senses: Cameras and scale; None: those of the settings.
        alone: The cart is a process of its own: crashes are counted, and a hang ends the process.
        open_repository: Opens the way to the model repository; None: there are no updates.

    Raises:
        AgentError: the model, the scale's script, the spool or the broker's password is not usable.
    """

    def __init__(
        self,
        config: CartConfig,
        clock: Clock | None = None,
        *,
        senses: Senses | None = None,
        alone: bool = True,
        open_repository: OpenRepository | None = None,
    ) -> None:
        # OpenCV's threads would take turns with the cameras' own on a small processor.
        cv2.setNumThreads(1)
        clock = clock or SystemClock()
        # Before anything that may crash: a loop of crashes ends in safe mode.
        surroundings = process_surroundings(config, clock) if alone else Surroundings()
        safe = surroundings.started is not None and surroundings.started.safe_mode
        if safe:
            config = safe_config(config)
        transport = MqttTransport(config.mqtt, client_id=client_id(config), clock=clock)
        telemetry = Telemetry()
        # Closed in turn if the cart cannot be made, and kept open if it can.
        with ExitStack() as opened:
            opened.callback(transport.stop, 0.0)
            senses = senses or Senses(
                [make_camera(camera, clock) for camera in config.cameras], make_scale(config.scale, clock)
            )
            spool = Spool(Path(config.spool.path), config.spool, owner=f"{config.store}/{config.cart}")
            opened.callback(spool.close)
            desk = open_desk(config, clock, telemetry) if config.updates.wanted and open_repository else None
            started = _open_model(config, clock, telemetry, desk, safe=safe)
            if started.activator is not None:
                opened.callback(started.activator.close)
            else:  # there is nowhere to put a model, so nobody listens
                desk = None
            opened.callback(started.opened.engine.close)
            self.agent = Agent(
                config,
                cameras=senses.cameras,
                scale=senses.scale,
                engine=started.opened.engine,
                manifest=started.opened.manifest,
                spool=spool,
                transport=transport,
                clock=clock,
                on_event=senses.on_event,
                surroundings=surroundings,
                telemetry=telemetry,
                orders=desk.orders.topics if desk else (),
                on_order=desk.orders.hear if desk else _hear_nothing,
            )
            self._updater: Updater | None = None
            if desk is not None and started.activator is not None and open_repository is not None:
                self._updater = make_updater(
                    desk,
                    config,
                    cart=self.agent,
                    activator=started.activator,
                    opened=started.opened,
                    repository=open_repository(config.updates, desk.folder),
                    clock=clock,
                    telemetry=telemetry,
                    hung=surroundings.started.hung if surroundings.started else "",
                )
            opened.pop_all()
        self._spool = spool
        self._activator = started.activator
        self._pending = started.opened.pending
        self._cancelled = threading.Event()
        self._activation: threading.Thread | None = None
        self._model = started.opened.model

    @property
    def updater(self) -> Updater | None:
        """What updates its model; None: nothing does."""
        return self._updater

    def start(self) -> None:
        """Start the cart, and make the better engine if one is pending."""
        self.agent.start()
        if self._updater is not None:
            self._updater.start()
        if self._activator is not None and self._pending is not None:
            self._activation = self._activator.activate_in_background(
                self._pending, self._on_activated, cancelled=self._cancelled
            )

    def _on_activated(self, outcome: Activated | ActivationError) -> None:
        if isinstance(outcome, ActivationError):
            return  # logged and counted; what runs goes on
        if outcome.slot.model != self._model:
            # Another model may have other classes: the basket and its books begin anew with the next start.
            log.info("model_runs_from_the_next_start", model=outcome.manifest.digest)
            outcome.engine.close()
            return
        used = threading.Event()
        if self.agent.use_engine(outcome.engine, used.set):
            self._note_use(outcome, used)

    def _note_use(self, outcome: Activated, used: threading.Event) -> None:
        """Wait until the cart looks through an engine, and write down that its model serves."""
        while not used.wait(USED_POLL_S):
            if self._cancelled.is_set():
                return
        if self._activator is not None:
            self._activator.serves(outcome.slot)

    def stop(self, timeout_s: float) -> None:
        """Stop the cart and close everything; an activation that is under way is given up."""
        self._cancelled.set()
        if self._updater is not None:
            self._updater.begin_stop()
        self.agent.stop(timeout_s)
        if self._activation is not None:
            self._activation.join(timeout_s)
        updates_end = self._updater is None or self._updater.stop(timeout_s)
        self._spool.close()
        self.agent.close_engine()
        if not updates_end or (self._activation is not None and self._activation.is_alive()):
            # Another agent would sweep away what the thread has in hand. The kernel lets go of the store
            # when the process ends.
            log.warning("thread does not end", thread="updates" if not updates_end else "activation")
        elif self._activator is not None:
            self._activator.close()


def _open_model(
    config: CartConfig, clock: Clock, telemetry: Telemetry, desk: UpdateDesk | None, *, safe: bool
) -> Started:
    base, count = model_directory(config), telemetry.count
    if safe:
        return without_store(config, base, SHIPPED_MODEL, "safe mode", clock=clock, on_count=count)
    return start(
        config,
        base,
        SHIPPED_MODEL,
        clock=clock,
        on_count=count,
        on_progress=_log_progress,
        pinned=(lambda: desk.file.record.pins) if desk else frozenset,
        proved_bad=desk.file.record.proved_bad if desk else "",
    )


def _hear_nothing(_topic: str, _payload: bytes) -> None:
    """Nothing is subscribed to."""


def _log_progress(progress: ActivationProgress) -> None:
    log.info(
        "activation",
        model=progress.model[:16],
        stage=progress.stage,
        phase=progress.phase,
        step=progress.step,
        of=progress.of,
    )
