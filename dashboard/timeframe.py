"""The time window a page asks for: its steps, and the same length before it. Pure; the clock is passed in."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class TimeRange:
    """One choice of the time range control.

    Attributes:
        key: As in the URL.
        title: On screen.
        length: How far it looks back.
        step: Width of one point on a time chart.
        refresh: The window moves in steps of this, so that pages opened together share answers.
    """

    key: str
    title: str
    length: timedelta
    step: timedelta
    refresh: timedelta


_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_HOUR_S = 3600

# Steps give 24 to 56 points: enough to see a shape, few enough for events to fill each of them.
RANGES: dict[str, TimeRange] = {
    r.key: r
    for r in (
        TimeRange("1h", "1 h", _HOUR, 2 * _MINUTE, timedelta(seconds=10)),
        TimeRange("6h", "6 h", 6 * _HOUR, 10 * _MINUTE, timedelta(seconds=30)),
        TimeRange("24h", "24 h", 24 * _HOUR, _HOUR, timedelta(seconds=30)),
        TimeRange("7d", "7 d", timedelta(days=7), 6 * _HOUR, _MINUTE),
        TimeRange("28d", "28 d", timedelta(days=28), timedelta(days=1), _MINUTE),
    )
}
DEFAULT_RANGE = "24h"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, start inclusive, end exclusive, in UTC.

    Attributes:
        start: Begin.
        end: End; about now.
        step: Width of one point on a time chart.
        title: For people: "24 h".
    """

    start: datetime
    end: datetime
    step: timedelta
    title: str

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start

    @property
    def hourly(self) -> bool:
        """Whether its numbers come from hourly rollups, which know no parts of hours."""
        return self.step >= _HOUR

    @property
    def previous(self) -> "Window":
        """The same length, earlier by as many whole steps as it holds: 24 h before, the same hours again.

        Both touch the same number of hours. A window that is longer than its name shares its first,
        incomplete step with the one before: at most one step of 24 or more.
        """
        span = self.length // self.step * self.step
        return Window(self.start - span, self.end - span, self.step, self.title)

    def counted_until(self, now: datetime) -> datetime:
        """Return until when its numbers count: an hour of the rollups counts whole once it is over."""
        if not self.hourly:
            return self.end
        whole = datetime.fromtimestamp(-(-self.end.timestamp() // _HOUR_S) * _HOUR_S, UTC)
        return max(self.end, min(whole, now))

    def counted_hours(self, now: datetime) -> float:
        """Return the hours that its numbers count: counts of two windows compare by the hour only."""
        return (self.counted_until(now) - self.start) / _HOUR

    def floor(self, at: datetime) -> datetime:
        """Return the start of the step that holds a time; steps are aligned to the epoch."""
        step_s = self.step.total_seconds()
        return datetime.fromtimestamp(at.timestamp() // step_s * step_s, UTC)

    def steps(self) -> list[datetime]:
        """Return the start of every step the window touches."""
        first, last = self.floor(self.start), self.floor(self.end - timedelta(microseconds=1))
        count = round((last - first) / self.step) + 1
        return [first + i * self.step for i in range(count)]


def window_of(time_range: TimeRange, now: datetime) -> Window:
    """Return the window that ends now, or a moment before: its end moves in steps of `refresh`.

    Windows whose steps are hours or more begin at a whole step: their numbers come from hourly rollups,
    and half an hour cannot be read from them. They are up to one step longer than their name says.
    """
    refresh_s = time_range.refresh.total_seconds()
    end = datetime.fromtimestamp(now.timestamp() // refresh_s * refresh_s, UTC)
    start, step_s = end - time_range.length, time_range.step.total_seconds()
    if time_range.step >= _HOUR:  # as in Window.hourly
        start = datetime.fromtimestamp(start.timestamp() // step_s * step_s, UTC)
    return Window(start, end, time_range.step, time_range.title)


# Drift compares with the store's own past: four weeks back, without the last one, so that a slow
# change does not hide in its own reference. Shorter: weekday patterns show up as drift.
REFERENCE_FROM = timedelta(days=28)
REFERENCE_UNTIL = timedelta(days=7)
_WEEK = "7 d"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two stretches of time that drift compares.

    Attributes:
        now: The recent one; at most a week.
        reference: The past.
        same_hours: Only the recent one's hours of the day count in the reference.
    """

    now: Window
    reference: Window
    same_hours: bool

    @property
    def hours(self) -> tuple[int, ...]:
        """Hours of the day (UTC) that the recent stretch touches."""
        start, end = self.now.start.timestamp() // 3600, self.now.end.timestamp() // 3600
        return tuple(sorted({int(hour % 24) for hour in range(int(start), int(end) + 1)}))


def comparison_of(window: Window) -> Comparison:
    """Return what drift compares for a window.

    A window shorter than a day is compared with the same hours of earlier days: light at ten in the
    evening differs from the light of a whole day in any healthy store. The counts come from hourly
    rollups: both begin at whole hours, the past ends at one, and no hour counts on both sides.
    """
    length = min(window.length, REFERENCE_UNTIL)
    recent = Window(
        _hour_of(window.end - length),
        window.end,
        window.step,
        _WEEK if window.length > REFERENCE_UNTIL + window.step else window.title,
    )
    past = Window(
        _hour_of(window.end - REFERENCE_FROM), _hour_of(window.end - REFERENCE_UNTIL), window.step, "21 d"
    )
    return Comparison(recent, past, same_hours=length < timedelta(days=1))


def _hour_of(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // _HOUR_S * _HOUR_S, UTC)
