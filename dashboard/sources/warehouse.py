"""The warehouse through the catalogue of queries: BigQuery, or an endpoint that speaks like it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from dashboard.errors import SourceRefusedError, SourceTimeoutError, SourceUnavailableError, TargetError
from dashboard.sources.protocol import Reading, Scope
from dashboard.timeframe import Comparison, Window
from queries import catalogue as ask
from queries.client import Warehouse, open_warehouse
from queries.errors import ConfigurationError, QueriesError, QueryRefusedError, QueryTimeoutError
from queries.question import Question

_NAME = "The warehouse"


class CatalogueWarehouse:
    """A `WarehouseSource` over `queries.catalogue`. May be used from several threads.

    Windows drawn in fine steps read raw rows; all others the hourly rollups, whose cost does not grow
    with the number of carts' rows.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def stores(self) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.Stores())

    def items(self) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.Items())

    def signal_bins(self) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.SignalBins())

    def freshness(self) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.Freshness())

    def carts(self) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.Carts())

    def models(self, window: Window) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.Models(window.start, window.end))

    def event_series(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        entry = ask.EventSeries if window.hourly else ask.EventSeriesRecent
        step_s = int(window.step.total_seconds())
        return self._ask(entry(window.start, window.end, step_s, _stores(scope), _models(scope)))

    def cart_events(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        entry = ask.CartEvents if window.hourly else ask.CartEventsRecent
        return self._ask(entry(window.start, window.end, _stores(scope), _models(scope)))

    def cart_activity(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        entry = ask.CartActivity if window.hourly else ask.CartActivityRecent
        return self._ask(entry(window.start, window.end, _stores(scope), _models(scope)))

    def cart_vitals(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.CartVitals(window.start, window.end, _stores(scope)))

    def cart_engines(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.CartEngines(window.start, window.end, _stores(scope)))

    def recent_events(self, window: Window, scope: Scope, limit: int) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.RecentEvents(window.start, window.end, limit, _stores(scope), _models(scope)))

    def rollout_marks(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.RolloutMarks(window.start, window.end, _stores(scope)))

    def latency(self, window: Window, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        entry = ask.Latency if window.hourly else ask.LatencyRecent
        return self._ask(entry(window.start, window.end, _stores(scope), _models(scope)))

    def latency_series(self, window: Window, scope: Scope, stage: str) -> Reading:
        """See `WarehouseSource`."""
        entry = ask.LatencySeries if window.hourly else ask.LatencySeriesRecent
        step_s = int(window.step.total_seconds())
        return self._ask(entry(window.start, window.end, step_s, stage, _stores(scope), _models(scope)))

    def signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        now, past = comparison.now, comparison.reference
        hours = comparison.hours if comparison.same_hours else ()
        return self._ask(
            ask.Signals(now.start, now.end, past.start, past.end, hours, _stores(scope), _models(scope))
        )

    def cart_signals(self, comparison: Comparison, scope: Scope) -> Reading:
        """See `WarehouseSource`."""
        now, past = comparison.now, comparison.reference
        last_of_past = _day_before(past.end)
        return self._ask(
            ask.CartSignals(
                now.start.date(), now.end.date(), past.start.date(), last_of_past.date(), _stores(scope)
            )
        )

    def camera_days(self, window: Window, scope: Scope, signal: str) -> Reading:
        """See `WarehouseSource`."""
        return self._ask(ask.CameraDays(window.start.date(), window.end.date(), signal, _stores(scope)))

    def _ask(self, question: Question) -> Reading:
        with _our_errors(question.name):
            result = self._warehouse.run(question)
        return Reading(result.frame, result.fetched_at.astimezone(UTC))


def open_warehouse_source(target: str) -> CatalogueWarehouse:
    """Open the warehouse that a target names; nothing is sent yet.

    Raises:
        TargetError: it names none.
    """
    try:
        return CatalogueWarehouse(open_warehouse(target))
    except ConfigurationError as error:
        raise TargetError(f"The warehouse cannot be opened: {error}") from error


def _stores(scope: Scope) -> tuple[str, ...]:
    return (scope.store_id,) if scope.store_id else ()


def _models(scope: Scope) -> tuple[str, ...]:
    return (scope.model_digest,) if scope.model_digest else ()


def _day_before(at: datetime) -> datetime:
    return at - timedelta(days=1)


@contextmanager
def _our_errors(question: str) -> Iterator[None]:
    """Let only our own errors out, in sentences: server texts may hold what is nobody's business."""
    try:
        yield
    except QueryTimeoutError as error:
        raise SourceTimeoutError(_NAME, question, "it took too long.") from error
    except QueryRefusedError as error:
        raise SourceRefusedError(_NAME, question, f"it refused the question {question}.") from error
    except QueriesError as error:
        raise SourceUnavailableError(_NAME, question, "it cannot be reached.") from error
