"""The time zones of stores, from the warehouse: read now and then, kept while it is away."""

import threading
import time
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from queries.catalogue import Stores
from queries.client import Warehouse
from queries.errors import QueriesError

_log = structlog.get_logger(__name__)

# Stores are opened rarely. Lower only asks more often.
REFRESH_S = 600.0


class StoreZones:
    """Returns time zones by store; never waits for the warehouse.

    Args:
        warehouse: Where stores are described.
        monotonic_s: Seconds that never jump.
    """

    def __init__(self, warehouse: Warehouse, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._warehouse = warehouse
        self._monotonic_s = monotonic_s
        self._zones: Mapping[str, ZoneInfo] = {}
        self._read_s = -REFRESH_S
        self._lock = threading.Lock()

    def __call__(self) -> Mapping[str, ZoneInfo]:
        """Return what was read last."""
        return self._zones

    def refresh(self) -> None:
        """Read again if it is time; called by a thread that may wait."""
        with self._lock:
            if self._monotonic_s() - self._read_s < REFRESH_S:
                return
            try:
                rows = self._warehouse.run(Stores()).frame.to_dict("records")
            except QueriesError as error:
                _log.warning("time zones of stores not read", why=str(error))
                return
            named = {str(row["store_id"]): _zone(row["timezone"]) for row in rows}
            self._zones = {store: zone for store, zone in named.items() if zone is not None}
            self._read_s = self._monotonic_s()


def _zone(name: object) -> ZoneInfo | None:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError):
        return None
