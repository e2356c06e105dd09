"""Running the rollups.

A run asks which hours were touched by rows received lately, recomputes those hours from the raw rows
(deduplicated) and merges them in. Doing it twice changes nothing. Its end is written down last, so a run that
dies halfway is repeated. Rows show up later than they were received, so each run looks some minutes back; it
remembers how many rows of each minute it has counted, and leaves alone what did not grow.
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
        self._counted: dict[_Share, int] = {}
        self._open_days: set[date] = set()
        self._daily_at: datetime | None = None

    def run(self) -> RollupReport:
        """Bring the rollups up to date; cheap when nothing came in.

        Raises:
            QueryError: the warehouse refused, or did not answer. Running again is safe.
        """
        began_s, now = time.monotonic(), self._clock()
        since, oldest = self._since(), now - HORIZON
        frame = self._ask("touched", {"since": since, "oldest": oldest})
        found = _shares(frame)
        news = {share for share, rows in found.items() if self._counted.get(share) != rows}
        if news:
            hours = self._roll(news, since, oldest)
            until = max(_times(frame["received_until"]))
            self._finish(until, hours, time.monotonic() - began_s)
            _log.info("rollups", hours=hours, seconds=round(time.monotonic() - began_s, 3))
        self._counted = found
        self._roll_days(now)
        return RollupReport(len({h for _, h, _ in news}), self._received_until, time.monotonic() - began_s)

    def _since(self) -> datetime:
        """Return from when received rows may not be counted yet: a whole minute.

        A first run goes further back: a run before it may have died with its days still open.
        """
        until, margin = self._received_until, OVERLAP
        if until is None:
            last = _times(self._ask("last_run", {})["received_until"])
            until, margin = (last[0] if last else EPOCH + OVERLAP + DAILY_EVERY), OVERLAP + DAILY_EVERY
        return (until - margin).replace(second=0, microsecond=0)

    def _roll(self, news: Iterable[_Share], since: datetime, oldest: datetime) -> int:
        hours: dict[str, set[datetime]] = {"telemetry": set(), "events": set(), "states": set()}
        for source, hour, _ in news:
            hours[source].add(hour)
        self._roll_hours(_TELEMETRY, hours["telemetry"])
        self._roll_hours(_EVENTS, hours["events"])
        self._execute("carts_current", {"since": since, "oldest": oldest})
        self._open_days.update(hour.date() for hour in hours["telemetry"])
        return len(hours["telemetry"] | hours["events"])

    def _roll_hours(self, names: Sequence[str], hours: Iterable[datetime]) -> None:
        for part in _parts(sorted(hours), HOURS_AT_ONCE):
            values = {"first": part[0], "last": part[-1] + HOUR, "hours": part}
            for name in names:
                self._execute(name, values)

    def _roll_days(self, now: datetime) -> None:
        if not self._open_days or (len(self._open_days) == 1 and self._days_may_wait(now)):
            return
        for part in _parts(sorted(self._open_days), HOURS_AT_ONCE // 24):
            first, last = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (part[0], part[-1]))
            self._execute("daily_cart_signals", {"first": first, "last": last + 24 * HOUR, "days": part})
        self._open_days.clear()
        self._daily_at = now

    def _days_may_wait(self, now: datetime) -> bool:
        # Only the present day waits: past days come with a history or a backlog, once.
        return self._daily_at is not None and now - self._daily_at < DAILY_EVERY

    def _finish(self, received_until: datetime, hours: int, seconds: float) -> None:
        values = {"received_until": received_until, "hours": hours, "seconds": seconds}
        self._execute("finish_run", {"finished_at": self._clock(), **values})
        self._received_until = received_until

    def _ask(self, name: str, values: Mapping[str, Any]) -> pd.DataFrame:
        query = Query(
            f"rollups {name}", read_sql(__package__, name), tuple(parameters_from(values)), None, TIMEOUT_S
        )
        return self._warehouse.run(query).frame

    def _execute(self, name: str, values: Mapping[str, Any]) -> None:
        sql = read_sql(__package__, name)
        self._warehouse.execute(sql, values, name=f"rollups {name}", timeout_s=TIMEOUT_S)


def run_rollups(warehouse: RollupTarget) -> RollupReport:
    """Bring the rollups up to date once; a service keeps a `Rollups` instead.

    Raises:
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
