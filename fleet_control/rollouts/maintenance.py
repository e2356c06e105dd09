"""When carts of a store may put a model live, by the store's own clock. Pure."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fleet_control.rollouts.plan import Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def open_until(windows: tuple[Window, ...], zone: ZoneInfo, now_ms: int) -> int | None:
    """Return the end of the window that is open now, in epoch milliseconds; None: none is.

    A time that the clocks skip in spring means the moment of the change, one that comes twice in autumn its
    first coming: a window is then an hour shorter or longer, and never starts twice.

    Args:
        windows: At least one.
        zone: Of the store.
        now_ms: The time.
    """
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    ends = [
        end
        for window in windows
        for day in (today - timedelta(days=1), today)
        if _begins_on(window, day)
        for begin, end in [_span(window, day, zone)]
        if begin <= now_ms < end
    ]
    return max(ends, default=None)


def _begins_on(window: Window, day: date) -> bool:
    return not window.days or _DAYS[day.weekday()] in window.days


def _span(window: Window, day: date, zone: ZoneInfo) -> tuple[int, int]:
    begin, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    last = day if end > begin else day + timedelta(days=1)
    return _epoch_ms(day, begin, zone), _epoch_ms(last, end, zone)


def _epoch_ms(day: date, at: time, zone: ZoneInfo) -> int:
    moment = datetime.combine(day, at, zone).astimezone(UTC)
    return int(moment.timestamp() * 1000)
