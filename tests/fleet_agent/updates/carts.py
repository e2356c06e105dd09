"""A cart on a bench that is updated: real agent, real activation, models in folders, a cloud in memory."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fleet_agent.activation.outcomes import Opened
from fleet_agent.activation.store import read_offer
from fleet_agent.agent import Agent
from fleet_agent.config import CaptureConfig, ModelConfig, ScaleConfig
from fleet_agent.engines.contract import Backend
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.errors import EngineError
from fleet_agent.events import ItemEvent
from fleet_agent.manifest import ModelManifest, Precision, load_manifest
from fleet_agent.model_change import Sight
from fleet_agent.perception import EngineInfo, Frame, PerceptionEngine, Tensor
from fleet_agent.ports import Clock, SystemClock
from fleet_agent.spool import Spool
from fleet_agent.telemetry import Telemetry
from fleet_agent.transport_memory import MemoryCloud, MemoryTransport
from fleet_agent.updates.mailbox import Mailbox, Orders
from fleet_agent.updates.news import News
from fleet_agent.updates.record import RecordFile
from fleet_agent.updates.repository_folder import FolderRepository
from fleet_agent.updates.terms import UpdateTerms
from fleet_agent.updates.updater import Updater
from fleet_protocol.messages import Events, Update, Window
from fleet_protocol.rollouts import Desired, Permit, encode_order, permit_topic
from tests.fleet_agent.activation.carts import CartOnBench
from tests.fleet_agent.activation.models import picture
from tests.fleet_agent.worlds import (
    CART,
    STORE,
    Bench,
    BenchCamera,
    BenchScale,
    config,
    noisy,
    wait_for,
)

SETTINGS = config(
    model=ModelConfig(idle_inference_fps=20.0),
    capture=CaptureConfig(event_fps=10.0, event_before_s=0.5),
    scale=ScaleConfig(settle_s=0.3),
)
CAMERAS = ("front", "left")
FOREVER_MS = 10 * 365 * 86_400_000


def name_of(folder: Path) -> str:
    """Return the sha256 of a model's manifest."""
    return read_offer(folder).name


def digest_of(folder: Path) -> str:
    """Return a model's name on the wire."""
    return load_manifest(folder).digest


class SickEngine:
    """An engine that fails as soon as it is told to."""

    def __init__(self, inner: PerceptionEngine, sick: threading.Event) -> None:
        self._inner = inner
        self._sick = sick

    @property
    def info(self) -> EngineInfo:
        """That of the engine inside."""
        return self._inner.info

    @property
    def input(self) -> Tensor:
        """That of the engine inside."""
        return self._inner.input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Fail, or run."""
        if self._sick.is_set():
            raise EngineError("the driver has lost its mind")
        return self._inner.infer(frames)

    def close(self) -> None:
        """Close the engine inside."""
        self._inner.close()


class SickBackend:
    """ONNX Runtime, whose engines of one network fail when `sick` is set.

    Args:
        network: Digest of it.
    """

    def __init__(self, network: str) -> None:
        self._network = network
        self._inner = OnnxRuntimeBackend()
        self.sick = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None,
    ) -> PerceptionEngine:
        """Open an engine that may fall sick, or a sound one."""
        engine = self._inner.open(directory, manifest, precision=precision, cameras=cameras, plan=plan)
        return SickEngine(engine, self.sick) if manifest.digest == self._network else engine


class ColorCamera(BenchCamera):
    """Shows the item of the bench all over the picture, as the networks of `models` were made for."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return a picture after a twentieth of a second."""
        frame = super().read(timeout_s)
        assert frame is not None
        shown = np.minimum(picture([self._bench.shown] * 4), 250)
        pixels = noisy(shown, np.random.default_rng(self.frames))
        return Frame(frame.camera, pixels, frame.captured_s)


class UpdatedCart:
    """One run of a cart.

    Args:
        folder: Of the cart: it survives runs.
        base: Folder of the model it ships with.
        repository: Where models come from.
        cloud: What the cloud knows; it survives runs.
        backend: That runs models; None: ONNX Runtime.
        probation_s: How long a model is watched.
        idle_s: How long a cart rests before it counts as empty.
        probation_looks: How many inferences it must show.
        hung: What hung when the run before ended.
        clock: Time.
        on_opened: Told what the agent will start with.
        acknowledge: Whether the cloud confirms what it gets.
    """

    def __init__(
        self,
        folder: Path,
        base: Path,
        repository: FolderRepository,
        cloud: MemoryCloud,
        *,
        backend: Backend | None = None,
        probation_s: float = 0.3,
        probation_looks: int = 3,
        idle_s: float = 0.0,
        hung: str = "",
        clock: Clock | None = None,
        on_opened: Callable[[Opened], None] = lambda _: None,
        acknowledge: bool = True,
    ) -> None:
        clock = clock or SystemClock()
        self.bench, self.cloud, self.told = Bench(), cloud, list[ItemEvent]()
        self.repository = repository
        self.telemetry = Telemetry()
        updates = folder / "store" / "updates"
        file = RecordFile(updates / "update.json")
        self.store = CartOnBench(
            folder / "store", base, backend=backend or OnnxRuntimeBackend(), clock=clock, record=file
        )
        self.store.activator.withdraw(file.record.proved_bad)
        self.opened = self.store.activator.open_at_boot()
        on_opened(self.opened)
        self.spool = Spool(folder / "spool.db", SETTINGS.spool, owner=f"{STORE}/{CART}")
        mailbox: Mailbox[News] = Mailbox(clock)
        orders = Orders(STORE, CART, mailbox, self.telemetry.count)
        self.transport = MemoryTransport(cloud, acknowledge=acknowledge)
        self.agent = Agent(
            SETTINGS,
            cameras=[ColorCamera(name, self.bench) for name in CAMERAS],
            scale=BenchScale(self.bench),
            engine=self.opened.engine,
            manifest=self.opened.manifest,
            spool=self.spool,
            transport=self.transport,
            clock=clock,
            on_event=self.told.append,
            telemetry=self.telemetry,
            orders=orders.topics,
            on_order=orders.hear,
        )
        self.updater = Updater(
            UpdateTerms(
                idle_s=idle_s,
                probation_s=probation_s,
                probation_looks=probation_looks,
                budget_ms=lambda _: None,
                poll_s=0.02,
            ),
            cart=self.agent,
            activator=self.store.activator,
            repository=repository,
            file=file,
            folder=updates,
            opened=self.opened,
            mailbox=mailbox,
            clock=clock,
            telemetry=self.telemetry,
            hung=hung,
        )
        self._running = True
        self.agent.start()
        self.updater.start()

    def stop(self) -> None:
        """End the run as a clean stop does; twice is harmless."""
        if self._running:
            self._running = False
            self.updater.begin_stop()
            self.agent.stop(5.0)
            assert self.updater.stop(10.0)
            self.agent.close_engine()
            self.spool.close()
            self.store.close()

    def desire(self, folder: Path, generation: int, rollout: str | None = "r1", **changes: Any) -> None:
        """Let the cloud ask for a model."""
        order = Desired(
            generation=generation,
            model=digest_of(folder),
            manifest=name_of(folder),
            rollout=rollout,
            **changes,
        )
        self.transport.order(f"fleet/v1/{STORE}/{CART}/desired", encode_order(order))

    def permit(self, generation: int = 1, state: Any = "running", lasts_ms: int = FOREVER_MS) -> None:
        """Let the cloud say whether the rollout may go on."""
        until = SystemClock().epoch_ms() + lasts_ms
        order = Permit(rollout="r1", generation=generation, state=state, until=until)
        self.transport.order(permit_topic("r1"), encode_order(order))

    @property
    def reports(self) -> list[Update]:
        """What the cart told of its update, over all runs."""
        return [m for m in self.cloud.of_all("upd") if isinstance(m, Update)]

    @property
    def states(self) -> list[str]:
        """The steps that were told."""
        return [report.state for report in self.reports]

    def wait(self, state: str) -> None:
        """Wait until the cart is somewhere, and has told it."""
        wait_for(lambda: self.updater.record.state == state and self.states[-1:] == [state])

    @property
    def runs(self) -> str:
        """Digest of what it runs."""
        return self.agent.identity.model

    @property
    def windows(self) -> list[Window]:
        """Telemetry that arrived."""
        return [m for m in self.cloud.of_all("tel") if isinstance(m, Window)]

    @property
    def events(self) -> list[Events]:
        """Item events that arrived."""
        return [m for m in self.cloud.of_all("evt") if isinstance(m, Events)]

    @property
    def sight(self) -> Sight:
        """How its network fares."""
        return self.agent.sight()
