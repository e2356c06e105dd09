"""Stories of the charts: what every figure promises, whatever data came."""

from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
import pytest

from dashboard.charts.drift import camera_days, distance_map, distribution, outliers
from dashboard.charts.frame import UI_REVISION, Chart, Look, gaps_of
from dashboard.charts.latency import latency_course, percentile_ranges
from dashboard.charts.timeline import share_course, store_timeline
from dashboard.sources.fake import FakeWarehouse
from dashboard.sources.protocol import Scope
from dashboard.timeframe import Window, comparison_of
from dashboard.view_models.counts import Point, course
from dashboard.view_models.drift import Drift, build_bins, build_drifts
from dashboard.view_models.latency import STAGE_TITLES, build_course, build_rows
from dashboard.view_models.store import CameraTrace, build_camera_traces
from tests.dashboard.conftest import NOW


@pytest.fixture
def points(fake: FakeWarehouse, day: Window) -> tuple[Point, ...]:
    """The course of one store."""
    return course(fake.event_series(day, Scope("s002")).frame, day.steps())


@pytest.fixture
def drifts(fake: FakeWarehouse, day: Window) -> tuple[Drift, ...]:
    """The drifts of all stores."""
    bins = build_bins(fake.signal_bins().frame, {})
    return build_drifts(fake.signals(comparison_of(day), Scope()).frame, ["store_id"], bins)


def _time_charts(fake: FakeWarehouse, day: Window, look: Look, points: tuple[Point, ...]) -> list[Chart]:
    series = fake.latency_series(day, Scope(), "camera_to_decision").frame
    return [
        store_timeline(points, day, look),
        share_course([("Gent", points)], day, look),
        latency_course(build_course(series, day.steps()), day, 250.0, look),
    ]


def test_x_axis_is_the_window_that_was_asked_for(
    fake: FakeWarehouse, day: Window, look: Look, points: tuple[Point, ...]
) -> None:
    """Charts keep the asked window and the zoom through a refresh, and have words for who does not see."""
    for chart in _time_charts(fake, day, look, points):
        assert list(chart.figure.layout.xaxis.range) == [look.local(day.start), look.local(day.end)]
        assert chart.figure.layout.uirevision == UI_REVISION
        assert chart.alt
        assert len(chart.table) == len(day.steps())


def test_window_without_data_keeps_its_axis(day: Window, look: Look) -> None:
    """When all carts fall silent the axis stays, and the silence is shaded and named."""
    nothing = pd.DataFrame(columns=["at", "item_events", "contradicted", "labelled", "asked"])

    chart = store_timeline(course(nothing, day.steps()), day, look)

    assert list(chart.figure.layout.xaxis.range) == [look.local(day.start), look.local(day.end)]
    assert any(note.text == "no data" for note in chart.figure.layout.annotations)
    assert all(bar is None for bar in chart.figure.data[1].y)


def test_gaps_join() -> None:
    """Neighbouring steps without data are one gap."""
    step = timedelta(hours=1)
    times = [NOW + i * step for i in range(5)]

    assert gaps_of(times, [3, 0, 0, 4, 0], step) == [(times[1], times[3]), (times[4], times[4] + step)]


def test_band_does_not_bridge_a_gap(day: Window, look: Look, points: tuple[Point, ...]) -> None:
    """The interval is drawn in pieces where the store was silent in between."""
    silent = points[0].counts
    holed = tuple(
        replace(p, counts=replace(silent, item_events=0)) if 10 <= i < 14 else p for i, p in enumerate(points)
    )

    bands = [
        trace
        for trace in store_timeline(holed, day, look).figure.data
        if getattr(trace, "fill", None) == "tonexty"
    ]

    assert len(bands) == 2


def test_few_events_have_no_share(day: Window, look: Look, points: tuple[Point, ...]) -> None:
    """A step of a handful of events leaves a gap in the line instead of a jump."""
    few = tuple(replace(p, counts=replace(p.counts, item_events=4)) for p in points)

    line = next(t for t in store_timeline(few, day, look).figure.data if t.name == "Uncontradicted")

    assert all(share is None for share in line.y)


def test_budget_is_drawn_on_both_axes(fake: FakeWarehouse, day: Window, look: Look) -> None:
    """The budget line stands where the budget is, also on a logarithmic axis."""
    rows = build_rows(fake.latency(day, Scope()).frame, "stage", STAGE_TITLES, 250.0)

    figure = percentile_ranges(rows, 250.0, look, log=True).figure

    assert figure.layout.shapes[0].x0 == 250.0
    assert figure.layout.annotations[0].x == pytest.approx(2.39794)
    assert figure.layout.annotations[0].text == "budget 250 ms"


def test_a_digest_of_digits_is_a_name_not_a_number(fake: FakeWarehouse, day: Window, look: Look) -> None:
    """Eight characters of a digest may all be digits; the axis must not count from one to the next."""
    frame = fake.latency(day, Scope()).frame.assign(model_digest="66196504fd6e7b0a")
    rows = build_rows(frame, "model_digest", {"66196504fd6e7b0a": "66196504"}, 250.0)

    figure = percentile_ranges(rows, None, look, log=False).figure

    assert figure.layout.yaxis.type == "category"


def test_series_differ_without_colour(fake: FakeWarehouse, day: Window, look: Look) -> None:
    """Lines differ in dash and marks in shape, so that colour is never the only carrier."""
    series = fake.latency_series(day, Scope(), "camera_to_decision").frame
    lines = latency_course(build_course(series, day.steps()), day, None, look).figure.data

    assert len({line.line.dash for line in lines}) == 3
    assert len({line.marker.symbol for line in lines}) == 3


def test_heat_map_puts_the_most_changed_store_on_top(drifts: tuple[Drift, ...], look: Look) -> None:
    """The first row is the store that changed most, and the caption says what changed there."""
    titles = {d.key: d.key.upper() for d in drifts}

    chart = distance_map(drifts, titles, look, {})

    assert chart.figure.data[0].y[0] == "S002"
    assert chart.caption.startswith("Largest: brightness of S002")


def test_distribution_adds_up(fake: FakeWarehouse, drifts: tuple[Drift, ...], look: Look) -> None:
    """Both sides of a distribution are shares of all counts, but for bins too small to draw."""
    bins = build_bins(fake.signal_bins().frame, {})["brightness"]
    drift = next(d for d in drifts if d.signal == "brightness")

    table = distribution(drift, bins, look).table

    assert table["before"].sum() == pytest.approx(1.0, abs=0.01)
    assert table["now"].sum() == pytest.approx(1.0, abs=0.01)


def test_camera_apart_is_named(fake: FakeWarehouse, day: Window, look: Look) -> None:
    """Of all cameras of the store the smeared one is singled out, and no other."""
    centres = build_bins(fake.signal_bins().frame, {})["blur"].centres
    traces = build_camera_traces(fake.camera_days(day, Scope("s003"), "blur").frame, centres)

    assert [(t.cart_id, t.camera) for t in outliers(traces)] == [("s003-c02", "front")]
    assert camera_days(traces, "Sharpness", "", look).caption == "s003-c02 front: far from the other cameras."


def test_cameras_that_agree_are_not_singled_out(look: Look) -> None:
    """Ordinary tolerance between cameras is no news; when all move, the caption says from where to where."""
    days: tuple[datetime, ...] = (NOW - timedelta(days=1), NOW)
    traces = [CameraTrace("c", str(i), days, (140.0 + i, 90.0 + i), (9, 9)) for i in range(6)]

    assert outliers(traces) == []
    assert "from 142 to 92.5 of 255" in camera_days(traces, "Brightness", "of 255", look).caption
