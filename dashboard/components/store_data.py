"""What the Store page loads: its course, its carts, its cameras and its newest events."""

from datetime import timedelta

from dashboard.charts.drift import camera_days
from dashboard.charts.frame import Chart
from dashboard.charts.marks import with_marks
from dashboard.charts.timeline import store_timeline
from dashboard.components.context import PageContext
from dashboard.components.loading import heard_until, in_scope, load_marks, newest_sign
from dashboard.components.panel import outcome_of
from dashboard.state import Outcome
from dashboard.timeframe import RANGES, window_of
from dashboard.view_models.counts import course
from dashboard.view_models.drift import build_bins
from dashboard.view_models.store import (
    CartRow,
    EventRow,
    build_camera_traces,
    build_cart_rows,
    build_event_rows,
)
from dashboard.view_models.vitals import VitalRow, build_vital_rows

# Events listed. More is scrolled past, fewer hides what happened a minute ago in a busy store.
NEWEST = 50
# They come from raw rows, whose cost grows with the time asked for.
_NEWEST_WITHIN = timedelta(days=2)
# Health is of now: an older trouble is on the timeline.
VITALS_RANGE = "1h"


def load_timeline(context: PageContext) -> Outcome[Chart]:
    """Load the store's course."""
    events = context.source.event_series(context.window, context.scope)
    points = course(events.frame, context.window.steps())
    return outcome_of(
        with_marks(
            store_timeline(points, context.window, context.look),
            load_marks(context),
            context.window,
            context.look,
        ),
        (events,),
        data_until=heard_until(context),
        rows=len(events.frame),
    )


def load_carts(context: PageContext) -> Outcome[tuple[CartRow, ...]]:
    """Load the store's carts."""
    source, window, scope = context.source, context.window, context.scope
    carts, events, activity = (
        source.carts(),
        source.cart_events(window, scope),
        source.cart_activity(window, scope),
    )
    here = in_scope(carts.frame, scope)
    rows = build_cart_rows(here, events.frame, activity.frame)
    return outcome_of(rows, (carts, events, activity), rows=len(rows), data_until=newest_sign(here))


def load_vitals(context: PageContext) -> Outcome[tuple[VitalRow, ...]]:
    """Load how the store's carts are, by their own account of the last hour."""
    source, scope = context.source, context.scope
    carts = source.carts()
    vitals = source.cart_vitals(window_of(RANGES[VITALS_RANGE], context.now), scope)
    engines = source.cart_engines(window_of(RANGES["28d"], context.now), scope)
    here = in_scope(carts.frame, scope)
    rows = build_vital_rows(here, vitals.frame, engines.frame)
    return outcome_of(rows, (carts, vitals, engines), rows=len(rows), data_until=newest_sign(here))


def load_cameras(context: PageContext, signal: str, title: str) -> Outcome[Chart]:
    """Load one signal of all cameras by day, always over four weeks: faults begin slowly."""
    window = window_of(RANGES["28d"], context.now)
    rows, bins = context.source.camera_days(window, context.scope, signal), context.source.signal_bins()
    scale = build_bins(bins.frame, {})[signal]
    traces = build_camera_traces(rows.frame, scale.centres)
    unit = scale.unit or "log2 variance"
    return outcome_of(
        camera_days(traces, title, unit, context.look),
        (rows, bins),
        rows=len(traces),
        data_until=heard_until(context),
    )


def load_events(context: PageContext) -> Outcome[tuple[EventRow, ...]]:
    """Load the newest item events."""
    events, items = (
        context.source.recent_events(context.window, context.scope, NEWEST),
        context.source.items(),
    )
    names = dict(zip(items.frame["item_id"].astype(str), items.frame["name"].astype(str), strict=True))
    return outcome_of(
        build_event_rows(events.frame, names),
        (events, items),
        rows=len(events.frame),
        data_until=heard_until(context),
    )
