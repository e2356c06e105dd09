"""Stories of windows, formats, histograms, distances, access and exports."""

import itertools
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import formats
from dashboard.auth import Gate, Visit, gate, is_local
from dashboard.distances import chance_level, js_distance
from dashboard.export import csv_with_header
from dashboard.histograms import percentiles, share_within
from dashboard.sources.protocol import Scope
from dashboard.theme import DARK, LIGHT, Palette, series_style
from dashboard.timeframe import RANGES, comparison_of, window_of
from dashboard.wilson import rate
from tests.dashboard.conftest import NOW

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


@pytest.mark.parametrize("key", list(RANGES))
def test_steps_cover_the_window(key: str) -> None:
    """The steps of a window touch each other, hold its start and its end, and are few enough to draw."""
    window = window_of(RANGES[key], NOW + timedelta(minutes=17, seconds=3))
    steps = window.steps()

    assert steps[0] <= window.start < steps[0] + window.step
    assert steps[-1] < window.end <= steps[-1] + window.step
    assert all(b - a == window.step for a, b in itertools.pairwise(steps))
    assert 24 <= len(steps) <= 60


def test_hourly_windows_begin_at_whole_steps() -> None:
    """Numbers from hourly rollups cannot begin in the middle of an hour."""
    window = window_of(RANGES["24h"], datetime(2026, 3, 10, 15, 37, 12, tzinfo=UTC))

    assert window.start == datetime(2026, 3, 9, 15, tzinfo=UTC)


@pytest.mark.parametrize("key", list(RANGES))
@pytest.mark.parametrize("minutes", [0, 17, 30, 59])
def test_the_window_before_reads_as_many_rows(key: str, minutes: int) -> None:
    """The window before is as long, earlier by its name's length, and touches as many steps and hours."""
    now = datetime(2026, 3, 10, 15, minutes, 3, tzinfo=UTC)
    window = window_of(RANGES[key], now)
    before = window.previous

    assert before.length == window.length
    assert window.start - before.start >= RANGES[key].length
    assert (window.start - before.start) % window.step == timedelta()
    assert len(before.steps()) == len(window.steps())
    assert before.start.minute == window.start.minute


def test_counts_of_hours_that_are_over_are_whole() -> None:
    """The present hour counts until now, the same hour a day before counts whole; raw rows count exactly."""
    now = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)
    day, hour = window_of(RANGES["24h"], now), window_of(RANGES["1h"], now)

    assert day.counted_hours(now) == 24.5
    assert day.previous.counted_hours(now) == 25.0
    assert hour.counted_hours(now) == hour.previous.counted_hours(now) == 1.0


def test_drift_compares_short_windows_with_the_same_hours() -> None:
    """An evening is compared with evenings, a day with days."""
    hour = comparison_of(window_of(RANGES["1h"], NOW))
    day = comparison_of(window_of(RANGES["24h"], NOW))

    assert hour.same_hours
    assert hour.hours == (14, 15)
    assert not day.same_hours
    assert day.reference.end == datetime(2026, 3, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize("key", list(RANGES))
def test_no_hour_is_its_own_past(key: str) -> None:
    """Drift's past begins and ends at whole hours, before the recent stretch begins."""
    drift = comparison_of(window_of(RANGES[key], NOW + timedelta(minutes=7, seconds=40)))

    for bound in (drift.now.start, drift.reference.start, drift.reference.end):
        assert bound.timestamp() % 3600 == 0
    assert drift.reference.end <= drift.now.start
    assert drift.reference.length == timedelta(days=21)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.percent(0.9642), "96.4 %"),
        (formats.percent(None), "\N{EN DASH}"),
        (formats.interval(rate(8, 10)), "49.0 to 94.3 %"),
        (formats.count(12345), "12,345"),
        (formats.milliseconds(4.561), "4.56 ms"),
        (formats.milliseconds(1234.5), "1,234 ms"),
        (formats.points(0.003), "+0.3 pp"),
        (formats.points(-0.0251), "-2.5 pp"),
        (formats.points(0.0), "±0.0 pp"),
        (formats.relative(0.12), "+12 %"),
        (formats.relative(None), None),
        (formats.ago(timedelta(seconds=12)), "12 s ago"),
        (formats.ago(timedelta(minutes=7)), "7 min ago"),
        (formats.ago(timedelta(hours=30)), "30 h ago"),
        (formats.ago(timedelta(days=3)), "3 d ago"),
        (formats.short_version("a31f09c7e2d8"), "a31f09c7"),
        (formats.join_words(["a", "b", "c", "d"]), "a, b, c and 1 more"),
        (formats.join_words(["a", "b"]), "a and b"),
    ],
)
def test_numbers_as_people_read_them(text: str | None, expected: str | None) -> None:
    """Units, signs and unknowns are written one way; a fall begins with the hyphen Streamlit looks for."""
    assert text == expected


def test_clock_is_the_viewers() -> None:
    """Times are told in the viewer's zone, with the day when it is another one."""
    paris = ZoneInfo("Europe/Paris")

    assert formats.clock(NOW, paris, NOW) == "16:30:00"
    assert formats.clock(NOW - timedelta(days=2), paris, NOW) == "08 Mar 16:30"


@given(st.lists(st.floats(0.5, 5000), min_size=120, max_size=400))
def test_percentiles_of_merged_histograms(values: list[float]) -> None:
    """Percentiles of counts are within 1.1 % of an observed value near that rank."""
    buckets = [math.ceil(math.log2(v) * 32) - 1 for v in values]
    found = percentiles(pd.DataFrame({"bucket": buckets, "n": 1}))
    exact = float(np.quantile(values, 0.5, method="inverted_cdf"))

    assert found.p50_ms == pytest.approx(exact, rel=0.0111)
    assert found.n == len(values)


def test_p99_needs_a_hundred_observations() -> None:
    """The p99 of a few observations is their maximum, so it is not shown."""
    few = percentiles(pd.DataFrame({"bucket": [10, 200], "n": [49, 50]}))

    assert few.p95_ms is not None
    assert few.p99_ms is None
    assert percentiles(pd.DataFrame({"bucket": [], "n": []})).p50_ms is None


def test_share_within_the_budget() -> None:
    """The share within a budget counts the buckets below it."""
    frame = pd.DataFrame({"bucket": [32 * 7, 32 * 9], "n": [30, 10]})

    assert share_within(frame, 250.0) == 0.75
    assert share_within(frame.iloc[0:0], 250.0) is None


@given(COUNTS, COUNTS)
def test_distance_is_a_distance(left: list[int], right: list[int]) -> None:
    """The distance lies in 0..1, is the same both ways, and zero to itself."""
    size = min(len(left), len(right))
    left, right = left[:size], right[:size]
    found = js_distance(left, right)

    assert found == js_distance(right, left)
    if sum(left) and sum(right):
        assert found is not None
        assert 0.0 <= found <= 1.0
        assert js_distance(left, left) == pytest.approx(0.0, abs=1e-7)
    else:
        assert found is None


def test_distance_of_known_distributions() -> None:
    """Nothing in common is 1; half in common is the textbook value."""
    assert js_distance([10, 0], [0, 5]) == 1.0
    assert js_distance([1, 0], [1, 1]) == pytest.approx(math.sqrt(0.311278), abs=1e-5)


def test_chance_level_is_what_samples_show() -> None:
    """Two samples of one distribution are as far apart as the chance level says, on average."""
    rng = np.random.default_rng(3)
    share = rng.dirichlet(np.ones(12))
    drawn = [js_distance(rng.multinomial(400, share), rng.multinomial(900, share)) or 0.0 for _ in range(400)]
    expected = chance_level(12, 400, 900)

    assert math.sqrt(float(np.mean(np.square(drawn)))) == pytest.approx(expected, rel=0.1)


LOGGED_IN = {"is_logged_in": True, "exp": 2000}


@pytest.mark.parametrize(
    ("visit", "expected"),
    [
        (Visit(oidc=True, claims={}, local=True), Gate.LOG_IN),
        (Visit(oidc=True, claims={"is_logged_in": False}, local=True), Gate.LOG_IN),
        (Visit(oidc=True, claims=LOGGED_IN, local=False), Gate.OPEN),
        (Visit(oidc=True, claims={**LOGGED_IN, "exp": 999}, local=False), Gate.LOG_IN),
        (Visit(oidc=False, claims={}, local=True), Gate.OPEN),
        (Visit(oidc=False, claims={}, local=False), Gate.CLOSED),
        (Visit(oidc=False, claims={}, local=False, declared_open=True), Gate.OPEN),
    ],
)
def test_gate(visit: Visit, expected: Gate) -> None:
    """A login that ran out is none; without a login only this machine may look."""
    assert gate(visit, now_s=1000) is expected


def test_a_proxy_makes_a_server_reachable() -> None:
    """Bound to loopback is local, but not behind a proxy."""
    assert is_local("127.0.0.1", {"Host": "localhost:8501"})
    assert not is_local("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"})
    assert not is_local("0.0.0.0", {})  # noqa: S104  # that is the point
    assert not is_local(None, {})


def test_export_says_what_it_is() -> None:
    """A CSV begins with its window, its filters and when it was made, and reads back."""
    window = window_of(RANGES["24h"], NOW)
    frame = pd.DataFrame({"a": [1, "=HYPERLINK(1)"]})
    text = csv_with_header(frame, "stores", window, Scope("s001"), NOW).decode()

    assert "# window: 2026-03-09T15:00:00+00:00 to 2026-03-10T15:30:00+00:00 (UTC)" in text
    assert "# filters: store=s001 model=all" in text
    assert "# generated-at: 2026-03-10T15:30:00+00:00" in text
    # Text of a cart that a spreadsheet would run as a formula is made inert.
    assert text.endswith("a\n1\n'=HYPERLINK(1)\n")


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_series_stand_out(colours: Palette) -> None:
    """Every series colour has a contrast of at least 3:1 against the background of its theme."""
    surface = _luminance(colours.surface)
    for colour in colours.series:
        light, dark = max(_luminance(colour), surface), min(_luminance(colour), surface)
        assert (light + 0.05) / (dark + 0.05) >= 3.0, colour


def test_series_differ_without_colour() -> None:
    """Neighbouring series, and those whose colours repeat, differ in dash and marker."""
    styles = [series_style(place, LIGHT) for place in range(10)]

    assert len({(s["dash"], s["symbol"], s["color"]) for s in styles}) == 10
    assert styles[0]["dash"] != styles[5]["dash"]
