"""Stories of rows turned into what the pages draw."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from dashboard.components.context import store_names
from dashboard.components.drift_data import MOST_ROWS, most_changed
from dashboard.sources.fake import FakeWarehouse
from dashboard.sources.protocol import Scope
from dashboard.timeframe import Window
from dashboard.view_models.counts import change, course, pooled, relative_change, sum_counts
from dashboard.view_models.drift import build_bins, build_drifts, shift_text
from dashboard.view_models.fleet import build_key_figures, build_store_rows, connected
from dashboard.view_models.latency import STAGE_TITLES, build_rows, slowest_first
from dashboard.view_models.store import build_camera_traces, build_cart_rows, build_event_rows

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def _counts(**changes: object) -> pd.DataFrame:
    row = {"store_id": "s1", "at": AT, "item_events": 100, "contradicted": 4, "labelled": 12, "asked": 7}
    return pd.DataFrame([{**row, **changes}])


def test_uncontradicted_is_the_rest() -> None:
    """The share counts events that nobody contradicted, with its n."""
    counts = sum_counts(pd.concat([_counts(), _counts(item_events=50, contradicted=2)]))

    assert counts.uncontradicted.share == pytest.approx(144 / 150)
    assert counts.item_events == 150
    assert counts.enough


def test_few_events_show_no_share() -> None:
    """Below the stated minimum the share is hidden and n remains."""
    counts = sum_counts(_counts(item_events=29, contradicted=0))

    assert counts.shown_share is None
    assert counts.item_events == 29


def test_gap_is_a_point_without_events() -> None:
    """A step without rows is a point with n = 0, never a share of zero; pooling does not fill it."""
    steps = [AT - timedelta(hours=1), AT, AT + timedelta(hours=1)]
    points = course(_counts(), steps)

    assert [p.counts.item_events for p in points] == [0, 100, 0]
    assert points[0].counts.uncontradicted.share is None
    assert [p.counts.item_events for p in pooled(points, 3)] == [0, 100, 0]


def test_pooling_adds_neighbours() -> None:
    """Each point holds the counts of its neighbours too, fewer at the ends."""
    steps = [AT + i * timedelta(hours=1) for i in range(4)]
    frame = pd.concat([_counts(at=at) for at in steps])

    assert [p.counts.item_events for p in pooled(course(frame, steps), 3)] == [200, 300, 300, 200]


def test_unknown_changes_stay_unknown() -> None:
    """A change from or to something unknown is unknown, and nothing is relative to zero."""
    assert change(None, 0.5) is None
    assert relative_change(3.0, 0.0) is None
    assert relative_change(3.0, 2.0) == pytest.approx(0.5)


def test_events_compare_by_the_hour(fake: FakeWarehouse, day: Window) -> None:
    """As many events in 24 and a half hours as before in 25 are more events, not equally many."""
    events, latency = _counts(), fake.latency(day, Scope()).frame
    figures = build_key_figures(
        now=events,
        before=events,
        latency=latency,
        latency_before=latency,
        carts=fake.carts().frame,
        steps=day.steps(),
    )

    assert figures.events_change == 0.0
    assert replace(figures, hours=24.5, hours_before=25.0).events_change == pytest.approx(25 / 24.5 - 1)


def test_stores_with_few_events_come_last(fake: FakeWarehouse, day: Window) -> None:
    """Worst first is by share; a store with too few events to have one comes last."""
    events = fake.event_series(day, Scope()).frame
    small = events["store_id"] == "s002"
    events.loc[small, ["item_events", "contradicted", "labelled", "asked"]] = 0

    rows = build_store_rows(
        fake.stores().frame, events, fake.latency(day, Scope()).frame, fake.carts().frame, day.steps()
    )

    assert [r.store_id for r in rows][-1] == "s002"
    shares = [r.counts.shown_share for r in rows[:-1]]
    assert shares == sorted(shares, key=lambda s: s or 0.0)


def test_no_carts_is_no_carts() -> None:
    """A store without carts has none online of none, and was never seen."""
    nothing = pd.DataFrame(columns=["online", "model_digest", "last_seen_at"])

    assert connected(nothing).total == 0
    assert connected(nothing).last_seen_at is None


def test_offline_carts_come_first(fake: FakeWarehouse, day: Window) -> None:
    """The table of carts begins with those that are away, then with the lowest share."""
    carts = fake.carts().frame
    here = carts[carts["store_id"] == "s002"]

    rows = build_cart_rows(
        here, fake.cart_events(day, Scope("s002")).frame, fake.cart_activity(day, Scope("s002")).frame
    )

    assert not rows[0].online
    assert all(row.online for row in rows[1:])
    assert rows[0].dropped_share == rows[0].dropped / rows[0].frames


EVENT = {
    "event_at": AT, "cart_id": "s1-c1", "item_id": "apple", "quantity": 2, "direction": "add",
    "posterior": 0.9, "outcome": "accepted", "weight_residual_g": 1.5, "decision_ms": 120.0,
    "label_type": None, "label_item_id": None, "label_quantity": None, "label_direction": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "action", "verdict"),
    [
        ({}, "+ Apple Gala \N{MULTIPLICATION SIGN} 2", "no label"),
        ({"quantity": 1, "direction": "remove"}, "\N{MINUS SIGN} Apple Gala", "no label"),
        ({"item_id": None}, "Unknown item", "no label"),
        (
            {"label_type": "scan", "label_item_id": "apple"},
            "+ Apple Gala \N{MULTIPLICATION SIGN} 2",
            "confirmed by scan",
        ),
        (
            {"label_type": "audit", "label_item_id": "apple", "label_quantity": 1, "label_direction": "add"},
            "+ Apple Gala \N{MULTIPLICATION SIGN} 2",
            "contradicted by audit: + Apple Gala",
        ),
        (
            {"label_type": "correction", "label_item_id": None},
            "+ Apple Gala \N{MULTIPLICATION SIGN} 2",
            "contradicted by correction: Nothing moved",
        ),
        (
            {"item_id": None, "label_type": "audit", "label_item_id": None},
            "Unknown item",
            "contradicted by audit: Nothing moved",
        ),
    ],
)
def test_events_in_words(changes: dict[str, object], action: str, verdict: str) -> None:
    """An event is told with names, and a label by what it says: what it leaves out, it does not deny."""
    frame = pd.DataFrame([{**EVENT, **changes}]).astype({"quantity": "Int64", "label_quantity": "Int64"})

    (row,) = build_event_rows(frame, {"apple": "Apple Gala"})

    assert row.action == action
    assert row.verdict == verdict


def test_daily_means_use_bin_centres() -> None:
    """A camera's day is the mean of its bins' centres, weighted by counts."""
    rows = pd.DataFrame({"day": AT.date(), "cart_id": "c", "camera": "front", "bin": [0, 2], "n": [3, 1]})

    (trace,) = build_camera_traces(rows, {0: 10.0, 1: 20.0, 2: 30.0})

    assert trace.means == (15.0,)
    assert trace.counts == (4,)


def test_latency_rows_keep_the_order_of_the_pipeline(fake: FakeWarehouse, day: Window) -> None:
    """Stages come in the order in which a frame passes them; stores by how slow they are."""
    frame = fake.latency(day, Scope()).frame
    stages = build_rows(frame, "stage", STAGE_TITLES, 250.0)
    stores = slowest_first(build_rows(frame[frame["stage"] == "infer"], "store_id", {}, 250.0))

    assert [r.key for r in stages] == list(STAGE_TITLES)
    assert stores[0].key == "s003"


def test_open_bins_get_a_centre() -> None:
    """A bin that is open at one side is as wide as its neighbour; classes are named, not measured."""
    rows = pd.DataFrame(
        {
            "signal": ["margin"] * 3 + ["class"] * 2,
            "bin": [0, 1, 2, 0, 1],
            "lower": [None, 0.0, 10.0, None, 1.0],
            "upper": [0.0, 10.0, None, 1.0, None],
            "label": ["a", "b", "c", "x", "y"],
            "unit": ["g"] * 3 + [""] * 2,
        }
    )

    bins = build_bins(rows, {0: "Apple Gala"})

    assert bins["margin"].centres == {0: -5.0, 1: 5.0, 2: 15.0}
    assert bins["class"].labels == ("Apple Gala", "class 1")
    assert bins["class"].centres == {}


def test_drift_without_a_past_has_no_distance() -> None:
    """A store that is new has counts now and none before: its distance is unknown, not zero."""
    rows = pd.DataFrame(
        {"store_id": "s9", "signal": "margin", "bin": [0, 1], "now_n": [5, 5], "reference_n": 0}
    )

    (drift,) = build_drifts(rows, ["store_id"], {})

    assert drift.distance is None
    assert drift.few
    assert shift_text(drift, None) == "\N{EN DASH}"


def test_drift_reads_nullable_integers() -> None:
    """BigQuery's answers come as nullable integers."""
    rows = pd.DataFrame(
        {"store_id": "s1", "signal": "margin", "bin": [0, 1], "now_n": [5, 5], "reference_n": [1, 9]}
    )

    (drift,) = build_drifts(
        rows.astype({"bin": "Int64", "now_n": "Int64", "reference_n": "Int64"}), ["store_id"], {}
    )

    assert drift.now == (5, 5)
    assert drift.distance is not None
    assert np.isfinite(drift.distance)


def test_one_store_does_not_fill_the_list() -> None:
    """Many changed cameras of one store leave room for the one changed camera of another."""
    dark = [(f"s002-c{i} front", "s002") for i in range(18)]

    assert most_changed([*dark, ("s003-c02 front", "s003")])[-1] == "s003-c02 front"
    assert len(most_changed(dark)) == MOST_ROWS


def test_equal_names_are_told_apart() -> None:
    """Two stores of one name carry their ids; a store without a name is its id."""
    frame = pd.DataFrame({"store_id": ["a", "b", "c"], "name": ["Gent", "Gent", None]})

    assert store_names(frame) == {"a": "Gent (a)", "b": "Gent (b)", "c": "c"}
