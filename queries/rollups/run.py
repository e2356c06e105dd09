"""Running the rollups.

A run asks which hours were touched by rows received lately, recomputes those hours from the raw rows
(deduplicated) and merges them in. Doing it twice changes nothing. Each statement fails alone: its hours are
owed, and the next run tries them again. The end of a run is written down last, and only when nothing is owed:
what a process owed when it died is repeated by the next one. Rows show up later than they were received, so
each run looks some minutes back; it remembers how many rows of each minute it has counted, and leaves alone
what did not grow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, TypeVar

import pandas as pd
import structlog

from queries.client import Execution, QueryResult
from queries.errors import QueryError, RollupError, WarehouseUnavailableError
from queries.question import Query, parameters_from, read_sql

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Rows become visible later than they were received: ingest batches them, and sends them again while the
# warehouse is away. Rows that stay on the way for longer are counted only when their hour is touched again.
OVERLAP = timedelta(minutes=10)
# How old a row's own time may be to be looked for. Further back costs bytes on every run.
HORIZON = timedelta(days=60)
# Hours recomputed by one statement: a week of all stores fits into memory.
HOURS_AT_ONCE = 168
# Days are recomputed from their beginning, so they wait: pages show whole days of them.
DAILY_EVERY = timedelta(minutes=5)
TIMEOUT_S = 600.0

# After so many statements in a row that nobody answered, the rest of a run is not tried. Each waits for the
# client's own retries: higher makes a run against a dead warehouse long; 1 lets one statement over which the
# warehouse stumbles stop the others.
MAX_SILENT = 2

_TELEMETRY = ("hourly_latency", "hourly_signals", "hourly_carts")
_EVENTS = ("hourly_events", "hourly_items")


class RollupTarget(Protocol):
    """What rollups run on: `Warehouse`, seen from here."""

    def run(self, question: Query) -> QueryResult:
        """Ask."""
        ...

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, name: str, timeout_s: float = ...
    ) -> Execution:
        """Run a statement."""
        ...


@dataclass(frozen=True, slots=True)
class RollupReport:
    """What a run did.

    Attributes:
        hours: How many hours were recomputed.
        received_until: Rows received up to here are counted; None while there are none.
        seconds: How long it took.
    """

    hours: int
    received_until: datetime | None
    seconds: float


# Rows of one source in one hour that were received in one minute.
_Share = tuple[str, datetime, datetime]


class _Attempts:
    """The statements of one run: each fails alone."""

    def __init__(self, warehouse: RollupTarget) -> None:
        self._warehouse = warehouse
        self._silent = 0
        self.failed: dict[str, QueryError] = {}

    def succeeds(self, name: str, values: Mapping[str, Any]) -> bool:
        """Run a statement; note and tell when it failed."""
        if self._silent >= MAX_SILENT:
            self.failed.setdefault(name, WarehouseUnavailableError(name, "the warehouse was silent before"))
            return False
        try:
            self._warehouse.execute(
                read_sql(__package__, name), values, name=f"rollups {name}", timeout_s=TIMEOUT_S
            )
        except QueryError as error:
            self._silent = self._silent + 1 if isinstance(error, WarehouseUnavailableError) else 0
            self.failed[name] = error
            _log.warning("a rollup failed and is owed", rollup=name, why=str(error))
            return False
        self._silent = 0
        return True


class Rollups:
    """Keeps the rollups of one warehouse; for one thread.

    Args:
        warehouse: Where they are.
        clock: Tells the time, UTC.
    """

    def __init__(
        self, warehouse: RollupTarget, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._warehouse = warehouse
        self._clock = clock
        self._received_until: datetime | None = None
        self._seen_until: datetime | None = None
        self._counted: dict[_Share, int] = {}
        self._owed: dict[str, set[datetime]] = {name: set() for name in (*_TELEMETRY, *_EVENTS)}
        self._carts_since: datetime | None = None
        self._open_days: set[date] = set()
        self._daily_at: datetime | None = None
        self._unfinished: set[datetime] = set()

    def run(self) -> RollupReport:
        """Bring the rollups up to date; cheap when nothing came in.

        Raises:
            RollupError: some statements failed, the others are up to date. Running again does what is owed.
            QueryError: the warehouse refused to tell what is new, or did not answer. Running again is safe.
        """
        began_s, now = time.monotonic(), self._clock()
        since, oldest = self._since(), now - HORIZON
        frame = self._ask("touched", {"since": since, "oldest": oldest})
        found = _shares(frame)
        news = {share for share, rows in found.items() if self._counted.get(share) != rows}
        if news:
            self._owe(news, since)
            self._seen_until = max(_times(frame["received_until"]))
        self._counted = found
        attempts = _Attempts(self._warehouse)
        self._roll(attempts, oldest)
        self._roll_days(attempts, now)
        self._finish(attempts, time.monotonic() - began_s)
        if attempts.failed:
            raise RollupError(attempts.failed)
        return RollupReport(len({h for _, h, _ in news}), self._received_until, time.monotonic() - began_s)

    def _since(self) -> datetime:
        """Return from when received rows may not be counted yet: a whole minute.

        A first run goes further back: a run before it may have died with its days still open.
        """
        until, margin = self._seen_until, OVERLAP
        if until is None:
            last = _times(self._ask("last_run", {})["received_until"])
            until, margin = (last[0] if last else EPOCH + OVERLAP + DAILY_EVERY), OVERLAP + DAILY_EVERY
        return (until - margin).replace(second=0, microsecond=0)

    def _owe(self, news: Iterable[_Share], since: datetime) -> None:
        hours: dict[str, set[datetime]] = {"telemetry": set(), "events": set(), "states": set()}
        for source, hour, _ in news:
            hours[source].add(hour)
        for source, names in (("telemetry", _TELEMETRY), ("events", _EVENTS)):
            for name in names:
                self._owed[name] |= hours[source]
        self._open_days.update(hour.date() for hour in hours["telemetry"])
        self._unfinished |= hours["telemetry"] | hours["events"]
        self._carts_since = min(self._carts_since or since, since)

    def _roll(self, attempts: _Attempts, oldest: datetime) -> None:
        for name, owed in self._owed.items():
            for part in _parts(sorted(owed), HOURS_AT_ONCE):
                values = {"first": part[0], "last": part[-1] + HOUR, "hours": part}
                if attempts.succeeds(name, values):
                    owed.difference_update(part)
        if self._carts_since is not None:
            values = {"since": self._carts_since, "oldest": oldest}
            if attempts.succeeds("carts_current", values):
                self._carts_since = None

    def _roll_days(self, attempts: _Attempts, now: datetime) -> None:
        if not self._open_days or (len(self._open_days) == 1 and self._days_may_wait(now)):
            return
        self._daily_at = now
        for part in _parts(sorted(self._open_days), HOURS_AT_ONCE // 24):
            first, last = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (part[0], part[-1]))
            values = {"first": first, "last": last + 24 * HOUR, "days": part}
            if attempts.succeeds("daily_cart_signals", values):
                self._open_days.difference_update(part)
            else:
                self._daily_at = None

    def _days_may_wait(self, now: datetime) -> bool:
        # Only the present day waits: past days come with a history or a backlog, once.
        return self._daily_at is not None and now - self._daily_at < DAILY_EVERY

    def _finish(self, attempts: _Attempts, seconds: float) -> None:
        """Write down that everything up to here is counted; not while something is owed."""
        if attempts.failed or self._seen_until == self._received_until:
            return
        values = {"received_until": self._seen_until, "hours": len(self._unfinished), "seconds": seconds}
        if attempts.succeeds("finish_run", {"finished_at": self._clock(), **values}):
            _log.info("rollups", hours=len(self._unfinished), seconds=round(seconds, 3))
            self._received_until = self._seen_until
            self._unfinished.clear()

    def _ask(self, name: str, values: Mapping[str, Any]) -> pd.DataFrame:
        query = Query(
            f"rollups {name}", read_sql(__package__, name), tuple(parameters_from(values)), None, TIMEOUT_S
        )
        return self._warehouse.run(query).frame


def run_rollups(warehouse: RollupTarget) -> RollupReport:
    """Bring the rollups up to date once; a service keeps a `Rollups` instead.

    Raises:
        RollupError: some statements failed, the others are up to date.
        QueryError: the warehouse refused, or did not answer. Running again is safe.
    """
    return Rollups(warehouse).run()


def _times(column: pd.Series[Any]) -> list[datetime]:
    return [value.to_pydatetime() for value in column.dropna()]


def _shares(frame: pd.DataFrame) -> dict[_Share, int]:
    keys = zip(frame["source"], _times(frame["hour"]), _times(frame["minute"]), strict=True)
    return dict(zip(keys, frame["row_count"].astype(int), strict=True))


def _parts(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
