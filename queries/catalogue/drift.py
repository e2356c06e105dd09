"""Questions about drift signals: counts over fixed bins, exactly additive. Filters as in `fleet`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from queries.catalogue import columns as c
from queries.question import Column, Question


@dataclass(frozen=True, slots=True)
class Signals(Question):
    """Counts of a window and of the past per store, all cameras together, from the hourly rollups.

    Attributes:
        now_start: Start of the window.
        now_end: End of the window.
        reference_start: Start of the past.
        reference_end: End of the past.
        hours: Hours of the day (UTC) that count in the past; empty for all.
        stores: Only these; empty for all.
        models: Only these; empty for all.
    """

    now_start: datetime
    now_end: datetime
    reference_start: datetime
    reference_end: datetime
    hours: tuple[int, ...] = ()
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    name = "signals"
    columns = (c.STORE, c.SIGNAL, c.BIN, c.NOW_N, c.REFERENCE_N)


@dataclass(frozen=True, slots=True)
class CartSignals(Question):
    """Counts of some days and of the past per cart and camera; first and last days are inclusive.

    Attributes:
        now_first: First day, UTC.
        now_last: Last day.
        reference_first: First day of the past.
        reference_last: Last day of the past.
        stores: Only these; empty for all.
    """

    now_first: date
    now_last: date
    reference_first: date
    reference_last: date
    stores: tuple[str, ...] = ()
    name = "cart_signals"
    columns = (c.STORE, c.CART, c.SIGNAL, c.CAMERA, c.BIN, c.NOW_N, c.REFERENCE_N)


@dataclass(frozen=True, slots=True)
class CameraDays(Question):
    """One signal per cart, camera and day; first and last day are inclusive.

    Attributes:
        first: First day, UTC.
        last: Last day.
        signal: The signal.
        stores: Only these; empty for all.
    """

    first: date
    last: date
    signal: str
    stores: tuple[str, ...] = ()
    name = "camera_days"
    columns = (Column("day", "DATE", "UTC day"), c.STORE, c.CART, c.CAMERA, c.BIN, c.OBSERVATIONS)
