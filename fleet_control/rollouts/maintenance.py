"""When carts of a store may put a model live, by the store's own clock. Pure."""

from bisect import bisect_left
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fleet_control.rollouts.plan import Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def open_until(windows: tuple[Window, ...], zone: ZoneInfo, now_ms: int) -> int | None:
    """Return the end of the window that is open now, in epoch milliseconds; None: none is.

    A time that the clocks skip in spring means the moment of the change, one that comes twice in autumn its
    first coming. So a window never starts twice; it may be shorter or longer by the hour, and one that lies
    wholly in the skipped hour does not open that night.

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
    local = datetime.combine(day, at, zone)
    first, last = (int(local.replace(fold=fold).timestamp()) for fold in (0, 1))
    # Of a skipped time the two are the other way round: read by the clock after the change it lies before it.
    return 1000 * (_change(last, first, zone) if last < first else first)


def _change(before_s: int, after_s: int, zone: ZoneInfo) -> int:
    """Return when, between two moments, the clocks were put forward."""

    def offset(epoch_s: int) -> timedelta:
        return datetime.fromtimestamp(epoch_s, zone).utcoffset() or timedelta()

    return before_s + bisect_left(range(before_s, after_s), offset(after_s), key=offset)
