"""When a store's carts may change their model."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from fleet_control.rollouts.maintenance import open_until
from fleet_control.rollouts.plan import Window

BERLIN = ZoneInfo("Europe/Berlin")
PARIS = ZoneInfo("Europe/Paris")


def _ms(text: str, zone: ZoneInfo | None = None) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone or UTC)
    return int(moment.timestamp() * 1000)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Monday 22:00 to 06:00 is open early on Tuesday, and not early on Monday."""
    night = (Window(days=("mon",), start="22:00", end="06:00"),)
    assert open_until(night, PARIS, _ms("2026-11-24T03:00", PARIS)) == _ms("2026-11-24T06:00", PARIS)
    assert open_until(night, PARIS, _ms("2026-11-23T03:00", PARIS)) is None
    assert open_until(night, PARIS, _ms("2026-11-24T06:00", PARIS)) is None


def test_the_store_s_clock_counts_not_the_server_s() -> None:
    """Ten in the evening comes earlier in Athens than in Lisbon."""
    night = (Window(start="22:00", end="23:00"),)
    now = _ms("2026-07-01T19:30")
    assert open_until(night, ZoneInfo("Europe/Athens"), now) is not None
    assert open_until(night, ZoneInfo("Europe/Lisbon"), now) is None


def test_the_night_of_the_change_of_clocks_is_an_hour_shorter_or_longer() -> None:
    """01:00 to 04:00 lasts two hours in spring and four in autumn."""
    night = (Window(start="01:00", end="04:00"),)
    for day, hours in (("2026-03-29", 2), ("2026-10-25", 4)):
        begin = _ms(f"{day}T01:00", PARIS)
        end = open_until(night, PARIS, begin)
        assert end is not None
        assert (end - begin) / 3_600_000 == hours


@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        ("02:30", "03:15", "03:00", "03:15"),
        ("02:30", "05:00", "03:00", "05:00"),
        ("01:00", "02:30", "01:00", "03:00"),
        ("02:10", "02:50", None, None),
    ],
)
def test_a_time_that_the_clocks_skip_means_the_moment_of_the_change(
    start: str, end: str, opens: str | None, closes: str | None
) -> None:
    """Two in the morning is followed by three: minute by minute through that night."""
    windows = (Window(start=start, end=end),)
    night = range(_ms("2026-03-29T00:00", BERLIN), _ms("2026-03-29T06:00", BERLIN), 60_000)
    found = {now: end_ms for now in night if (end_ms := open_until(windows, BERLIN, now)) is not None}
    if opens is None or closes is None:
        assert not found
        return
    assert (min(found), max(found) + 60_000) == (
        _ms(f"2026-03-29T{opens}", BERLIN),
        _ms(f"2026-03-29T{closes}", BERLIN),
    )
    assert set(found.values()) == {_ms(f"2026-03-29T{closes}", BERLIN)}


def test_of_overlapping_windows_the_longest_counts() -> None:
    """A cart is told the latest end."""
    both = (Window(start="20:00", end="22:00"), Window(start="21:00", end="23:30"))
    assert open_until(both, PARIS, _ms("2026-11-24T21:30", PARIS)) == _ms("2026-11-24T23:30", PARIS)
