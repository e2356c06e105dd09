"""From CARTWRIGHT_WAREHOUSE to a source."""

from datetime import UTC, datetime

from dashboard.errors import TargetError
from dashboard.sources.fake import Condition, FakeWarehouse
from dashboard.sources.protocol import WarehouseSource

TARGET_VARIABLE = "CARTWRIGHT_WAREHOUSE"
_FAKE = "fake"


def open_source(target: str | None) -> WarehouseSource:
    """Open what the target names.

    Args:
        target: `PROJECT.DATASET`, `emulator://host:port/PROJECT.DATASET`, or `fake` for simulated numbers
            in memory (`fake:empty`, `fake:stale`, `fake:partial`, `fake:error` show the sad states).

    Raises:
        TargetError: it names nothing.
    """
    if not target:
        raise TargetError(f"Set {TARGET_VARIABLE} to PROJECT.DATASET, or to fake for simulated numbers.")
    if target.partition(":")[0] == _FAKE:
        return _open_fake(target.partition(":")[2])
    from dashboard.sources.warehouse import open_warehouse_source  # noqa: PLC0415  # Google's client loads slowly

    return open_warehouse_source(target)


def _open_fake(condition: str) -> WarehouseSource:
    try:
        return FakeWarehouse(lambda: datetime.now(UTC), Condition(condition or "fine"))
    except ValueError:
        known = ", ".join(f"fake:{c.value}" for c in Condition)
        raise TargetError(f"There is no fake:{condition}; there are {known}.") from None
