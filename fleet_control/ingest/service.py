"""One ingest process: broker, pipeline, warehouse, rollups and the status port, put together."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from fleet_control.dimensions import signal_bins
from fleet_control.errors import BrokerUnreachableError
from fleet_control.ingest.addresses import BrokerAddress
from fleet_control.ingest.batch import BatchLimits
from fleet_control.ingest.history import WarehouseHistory
from fleet_control.ingest.http import Answer, StatusServer
from fleet_control.ingest.metrics import IngestMetrics
from fleet_control.ingest.pipeline import Pipeline
from fleet_control.ingest.transport_mqtt import MqttTransport, Session
from fleet_control.scheduler import RollupScheduler
from queries.client import Warehouse, open_warehouse
from queries.dimensions import replace_signal_bins
from queries.errors import QueriesError
from queries.rollups import Rollups
from queries.schema import apply_schema
from queries.writer import Appender, open_appender

_log = structlog.get_logger(__name__)

# Pause between attempts to reach a warehouse at start, doubled up to the longest.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
# A warehouse that does not take a batch for this long makes `/ready` say so.
STUCK_S = 30.0
# Decoded messages are lists of small tuples that hold no cycles. With Python's own thresholds the
# collector walks all of them again and again and takes two thirds of the time.
GC_THRESHOLDS = (200_000, 20, 50)


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How one ingest runs.

    Attributes:
        broker: Where the carts speak.
        warehouse: Target as `queries.target` reads it.
        client_id: Names the session on the broker; one process per name.
        http_host: Where the status port listens.
        http_port: 0 picks a free one.
        rollup_interval_s: Seconds between rollups; None for none.
        batch: When a batch goes to the warehouse.
        stop_timeout_s: How long a clean stop may drain.
        fail_fast: End at the first unreachable broker or warehouse instead of trying on.
        broker_patience_s: With fail_fast, how long the broker may take.
    """

    broker: BrokerAddress
    warehouse: str
    client_id: str = "cartwright-ingest"
    http_host: str = "127.0.0.1"
    http_port: int = 9102
    rollup_interval_s: float | None = 60.0
    batch: BatchLimits = field(default_factory=BatchLimits)
    stop_timeout_s: float = 10.0
    fail_fast: bool = False
    broker_patience_s: float = 10.0


class IngestService:
    """Runs until told to stop.

    Args:
        settings: See there.
        wrap_appender: For stories that break things between the pipeline and the warehouse.
    """

    def __init__(
        self, settings: IngestSettings, wrap_appender: Callable[[Appender], Appender] = lambda a: a
    ) -> None:
        self.metrics = IngestMetrics()
        self._settings = settings
        self._stopping = threading.Event()
        self._warehouse: Warehouse = open_warehouse(settings.warehouse)
        self._appender = wrap_appender(open_appender(settings.warehouse))
        self._transport = MqttTransport(settings.broker, Session(settings.client_id), self.metrics)
        self._pipeline = Pipeline(
            transport=self._transport,
            appender=self._appender,
            history=WarehouseHistory(self._warehouse),
            metrics=self.metrics,
            limits=settings.batch,
        )
        self._scheduler: RollupScheduler | None = None
        self._seeded = False
        try:
            self._status = StatusServer(
                settings.http_host,
                settings.http_port,
                metrics=self.metrics.text,
                live=self._live,
                ready=self._ready,
            )
        except OSError:
            self._give_back()
            raise

    @property
    def http_address(self) -> str:
        """Where `/metrics`, `/live` and `/ready` are."""
        return f"http://{self._settings.http_host}:{self._status.port}"

    def request_stop(self) -> None:
        """Make `run` come to its end. Any thread."""
        self._stopping.set()

    def run(self, on_ready: Callable[[str], None]) -> bool:
        """Prepare, serve until told to stop, drain; return whether everything ended well.

        Args:
            on_ready: Called with the status address once subscribed.

        Raises:
            QueriesError: with fail_fast, the warehouse cannot be used.
            BrokerUnreachableError: with fail_fast, the broker cannot be used.
        """
        try:
            if not self._prepare():
                return True
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            self._pipeline.start()
            self._start_rollups()
            if self._wait_for_broker():
                on_ready(self.http_address)
            while self._pipeline.is_working() and not self._stopping.wait(0.5):
                pass
            return self._stop()
        finally:
            self._status.close()
            self._give_back()

    def _prepare(self) -> bool:
        """Bring the warehouse and the memory up to date; False when told to stop meanwhile."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                apply_schema(self._warehouse)
                replace_signal_bins(self._warehouse, signal_bins())
                healed = self._pipeline.seed()
            except QueriesError as error:
                if self._settings.fail_fast:
                    raise
                _log.warning("the warehouse cannot be used; trying again", why=str(error))
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._seeded = True
                _log.info("seeded", boots=len(self._pipeline.memory.ledger), entries_added=healed)
                return True
        return False

    def _start_rollups(self) -> None:
        if self._settings.rollup_interval_s is not None:
            rollups = Rollups(self._warehouse)
            self._scheduler = RollupScheduler(rollups.run, self.metrics, self._settings.rollup_interval_s)
            self._scheduler.start()

    def _wait_for_broker(self) -> bool:
        deadline_s = time.monotonic() + self._settings.broker_patience_s
        while not self._stopping.is_set() and self._pipeline.is_working():
            if self._transport.wait_ready(0.1):
                return True
            if self._settings.fail_fast and time.monotonic() > deadline_s:
                self._stop()
                raise BrokerUnreachableError(str(self._settings.broker), self._transport.why_not_ready())
        return False

    def _stop(self) -> bool:
        failure = self._pipeline.failure
        drained = self._pipeline.stop(self._settings.stop_timeout_s)
        if self._scheduler is not None:
            self._scheduler.stop(self._settings.stop_timeout_s)
        _log.info("stopped", drained=drained)
        return failure is None

    def _give_back(self) -> None:
        self._appender.close()
        self._warehouse.close()

    def _live(self) -> Answer:
        if self._pipeline.failure is not None:
            return Answer(ok=False, sentence=f"ingest cannot go on: {self._pipeline.failure}")
        return Answer(ok=True, sentence="alive")

    def _ready(self) -> Answer:
        if not self._seeded:
            return Answer(ok=False, sentence="the warehouse is not ready yet")
        if not self._transport.is_ready():
            why = self._transport.why_not_ready()
            return Answer(ok=False, sentence=f"not subscribed at {self._settings.broker}: {why}")
        if self._pipeline.commit_age_s() > STUCK_S:
            return Answer(ok=False, sentence="the warehouse does not take rows; they wait and will be sent")
        return Answer(ok=True, sentence=ready_sentence(self._scheduler))


def ready_sentence(scheduler: RollupScheduler | None) -> str:
    """Say that messages are taken; pages may be behind all the same, and whoever looks should see that."""
    if scheduler is None or not scheduler.behind:
        return "ready"
    return f"ready; rollups are behind and are tried again: {', '.join(scheduler.behind)}"
