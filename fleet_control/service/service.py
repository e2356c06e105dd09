"""One control process: database, carts, models, warehouse, engine and API, put together."""

import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fleet_control.api.server import ApiServer, ApiSettings
from fleet_control.api.webhook import Webhook
from fleet_control.errors import FleetControlError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.registry.bounded import read_bounded
from fleet_control.registry.client import RepositoryRegistry
from fleet_control.registry.keys import MAX_ROOT_BYTES
from fleet_control.registry.pins import Pins
from fleet_control.registry.storage import existing_repository
from fleet_control.rollouts.baselines import Baselines
from fleet_control.rollouts.control import RolloutControl, baseline_is_there
from fleet_control.rollouts.controller import Controller, Rhythm
from fleet_control.rollouts.engine import Engine
from fleet_control.rollouts.fleet_mqtt import MqttFleet
from fleet_control.rollouts.gating.blocks import Timing
from fleet_control.rollouts.gating.evidence import GateEvidence
from fleet_control.rollouts.gating.source_warehouse import WarehouseSource
from fleet_control.rollouts.journal import WarehouseJournal
from fleet_control.rollouts.observer import Observer
from fleet_control.rollouts.outbox import OutboxPublisher
from fleet_control.rollouts.ports import CartSighting
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.store_sql import open_store
from fleet_control.service.zones import StoreZones
from queries.client import open_warehouse
from queries.schema import apply_schema
from queries.writer import open_appender

_log = structlog.get_logger(__name__)

# In the repository's file of pins.
PINNED_BY, PINNED_BY_CARTS = "rollouts", "what carts run"
# A controller whose last pass is this long ago hangs: `/ready` says so.
STUCK_S = 60.0


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How one control process runs.

    Attributes:
        database: sqlite:///FILE or postgresql://...
        broker: Where the carts speak.
        warehouse: Target as `queries.target` reads it.
        repository: Address or folder of the model repository.
        root: Its trusted root metadata.
        pins: Folder of the repository, where models that carts may need are pinned; None: somewhere else.
        api: How the API is served.
        webhook: Where notices go; None: nowhere.
        webhook_secret: Signs them.
        timing: When a block of evidence is closed.
        rhythm: How often things are done.
        stop_timeout_s: How long a clean stop may take.
    """

    database: str
    broker: BrokerAddress
    warehouse: str
    repository: str
    root: Path
    api: ApiSettings
    pins: Path | None = None
    webhook: str | None = None
    webhook_secret: str = field(default="", repr=False)
    timing: Timing = field(default_factory=Timing)
    rhythm: Rhythm = field(default_factory=Rhythm)
    stop_timeout_s: float = 10.0


def _tell_nobody(_rollout: str, _what: str, _text: str) -> None:
    """Stand for a webhook where there is none."""


def now_ms() -> int:
    """Return the time, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def needed_models(rollouts: Iterable[Rollout], carts: Iterable[CartSighting]) -> Mapping[str, frozenset[str]]:
    """Return the digests that carts run, and those that each open rollout brings or would bring back."""
    running = frozenset(cart.model for cart in carts if cart.model is not None)
    wanted = {rollout.rollout_id: frozenset({rollout.plan.model, rollout.baseline}) for rollout in rollouts}
    return {PINNED_BY_CARTS: running, **wanted}


class ControlService:
    """Runs until told to stop.

    Args:
        settings: See there.

    Raises:
        FleetControlError: the database, the repository's root, the tokens or the address cannot be used.
        QueriesError: the warehouse's address makes no sense.
    """

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._pinned: Mapping[str, frozenset[str]] = {}
        self._opened = ExitStack()
        with ExitStack() as opened:
            self._open(opened)
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack) -> None:
        settings = self._settings
        store = open_store(settings.database, now_ms)
        opened.callback(store.close)
        warehouse = open_warehouse(settings.warehouse)
        opened.callback(warehouse.close)
        appender = open_appender(settings.warehouse)
        opened.callback(appender.close)
        # In containers names and process ids repeat.
        owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._fleet = MqttFleet(settings.broker, client_id=f"cartwright-control-{owner}", now_ms=now_ms)
        opened.callback(self._fleet.stop)
        registry = RepositoryRegistry(settings.repository, read_bounded(settings.root, MAX_ROOT_BYTES))
        opened.callback(registry.close)
        webhook = Webhook(settings.webhook, settings.webhook_secret) if settings.webhook else None
        if webhook is not None:
            opened.callback(webhook.close)
        self._zones = StoreZones(warehouse)
        self._baselines = Baselines(lambda rollout: baseline_is_there(registry, rollout))
        engine = Engine(
            store,
            self._fleet,
            now_ms=now_ms,
            zones=self._zones,
            can_go_back=self._baselines.can_go_back,
        )
        evidence = WarehouseSource(warehouse)
        observer = Observer(
            engine,
            store,
            proofs=evidence,
            evidence=GateEvidence(evidence, settings.timing),
            now_ms=now_ms,
        )
        self._store = store
        self._journal = WarehouseJournal(store, warehouse, appender, now_ms=now_ms)
        self._warehouse = warehouse
        publisher = OutboxPublisher(store, self._fleet, now_ms=now_ms, notify=webhook or _tell_nobody)
        self._controller = Controller(
            owner,
            store=store,
            fleet=self._fleet,
            engine=engine,
            publisher=publisher,
            observer=observer,
            rhythm=settings.rhythm,
        )
        control = RolloutControl(
            store,
            self._fleet,
            registry,
            now_ms=now_ms,
            can_go_back=self._baselines.can_go_back,
            on_change=self._controller.wake,
            evidence=observer.readings,
        )
        self._api = ApiServer(
            control,
            settings.api,
            not_ready=self._not_ready,
            webhook=webhook.counts if webhook is not None else None,
            heartbeat=lambda: self._controller.silent_s if self._controller.leads else math.nan,
        )
        opened.callback(self._api.close)

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._api.url

    def request_stop(self) -> None:
        """Make `run` come to its end. Any thread."""
        self._stopping.set()

    def run(self, on_ready: Callable[[str], None]) -> bool:
        """Serve until told to stop; return whether everything ended in time.

        Args:
            on_ready: Called with the API's address once connected to the broker.
        """
        try:
            self._fleet.start()
            self._controller.start()
            side = threading.Thread(target=self._side_work, name="control-side", daemon=True)
            side.start()
            # A thread of its own, which nobody waits for: a repository may take for ever to answer.
            threading.Thread(target=self._ask_repository, name="control-models", daemon=True).start()
            while not self._stopping.is_set() and not self._fleet.wait_ready(0.2):
                pass
            if not self._stopping.is_set():
                on_ready(self.url)
            self._stopping.wait()
            ended = self._controller.stop(self._settings.stop_timeout_s)
            side.join(self._settings.stop_timeout_s)
            return ended and not side.is_alive()
        finally:
            self._opened.close()

    def _side_work(self) -> None:
        """Do what may wait for the warehouse: the schema, time zones, and the journal."""
        prepared = False
        while not self._stopping.is_set():
            try:
                # Pins first: they need no warehouse, and a baseline that is retired meanwhile is gone.
                self._pin()
                if not prepared:
                    apply_schema(self._warehouse)
                    prepared = True
                self._zones.refresh()
                while self._controller.leads and self._journal.run_once() and not self._stopping.is_set():
                    pass
            except Exception as error:  # noqa: BLE001  # charts may wait, rollouts may not
                _log.warning("pins or the warehouse are behind; trying again", why=str(error))
            self._stopping.wait(self._settings.rhythm.observe_s)

    def _ask_repository(self) -> None:
        """Know whether rollouts could go back, before one has to."""
        while not self._stopping.is_set():
            try:
                self._baselines.refresh(self._store.heads(open_only=True))
            except FleetControlError as error:
                _log.warning("not known whether rollouts could go back", why=str(error))
            self._stopping.wait(self._settings.rhythm.observe_s)

    def _pin(self) -> None:
        """Keep what carts run, and what open rollouts bring or would bring back, from being retired."""
        if self._settings.pins is None or not self._controller.leads or not self._fleet.is_ready():
            return
        wanted = needed_models(self._store.heads(open_only=True), self._fleet.carts().values())
        if wanted != self._pinned:
            Pins(existing_repository(self._settings.pins)).pin_all(PINNED_BY, wanted)
            self._pinned = wanted

    def _not_ready(self) -> str:
        if not self._fleet.is_ready():
            return f"not connected to {self._settings.broker}: {self._fleet.why_not_ready()}"
        if self._controller.silent_s > STUCK_S:
            return f"the last pass over the rollouts was {self._controller.silent_s:.0f} s ago"
        return ""
