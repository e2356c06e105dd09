"""Loaders that several pages share: answers of the source, put into view models."""

from dataclasses import replace
from datetime import datetime

import pandas as pd

from dashboard import formats
from dashboard.components.context import PageContext, store_names
from dashboard.components.panel import STALE_AFTER, outcome_of
from dashboard.errors import DashboardError
from dashboard.sources.protocol import Scope
from dashboard.state import Outcome
from dashboard.view_models.fleet import (
    CAMERA_TO_DECISION,
    KeyFigures,
    StoreRow,
    build_key_figures,
    build_store_rows,
)
from dashboard.view_models.latency import build_course
from dashboard.view_models.marks import Mark, build_marks


def load_key_figures(context: PageContext) -> Outcome[KeyFigures]:
    """Load the key figures of what the filters leave, and of the period before."""
    source, window, scope = context.source, context.window, context.scope
    now, before = source.event_series(window, scope), source.event_series(window.previous, scope)
    latency, latency_before = source.latency(window, scope), source.latency(window.previous, scope)
    series, carts = source.latency_series(window, scope, CAMERA_TO_DECISION), source.carts()
    figures = build_key_figures(
        now=now.frame,
        before=before.frame,
        latency=latency.frame,
        latency_before=latency_before.frame,
        carts=in_scope(carts.frame, scope),
        steps=window.steps(),
    )
    course = tuple(p.latency.p95_ms for p in build_course(series.frame, window.steps()))
    return outcome_of(
        replace(
            figures,
            latency_course_ms=course,
            hours=window.counted_hours(context.now),
            hours_before=window.previous.counted_hours(context.now),
        ),
        (now, before, latency, carts),
        rows=len(now.frame) + len(carts.frame),
        data_until=newest_sign(in_scope(carts.frame, scope)),
    )


def load_store_rows(context: PageContext, scope: Scope | None = None) -> Outcome[tuple[StoreRow, ...]]:
    """Load the table of stores; stores without events, or not heard lately, are named as missing."""
    source, window, scope = context.source, context.window, scope or context.scope
    stores, carts = source.stores(), source.carts()
    events, latency = source.event_series(window, scope), source.latency(window, scope)
    rows = build_store_rows(
        in_scope(stores.frame, scope), events.frame, latency.frame, carts.frame, window.steps()
    )
    silent = {r.store_id: r.name for r in rows if r.counts.item_events == 0}
    unheard = unheard_stores(context, scope)
    return outcome_of(
        rows,
        (stores, carts, events, latency),
        rows=0 if len(silent) == len(rows) else len(rows),
        data_until=newest_sign(in_scope(carts.frame, scope)),
        missing=tuple({**silent, **unheard}.values()),
    )


def in_scope(frame: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """Keep the rows of the store that the filters leave."""
    return frame if scope.store_id is None else frame[frame["store_id"] == scope.store_id]


def newest_sign(carts: pd.DataFrame) -> datetime | None:
    """Return the newest sign of life of any cart."""
    if carts.empty:
        return None
    return pd.to_datetime(carts["last_seen_at"], utc=True).max().to_pydatetime()


def load_marks(context: PageContext) -> tuple[Mark, ...] | None:
    """Load what happened to rollouts; None where the warehouse has no answer: the chart matters more."""
    try:
        return build_marks(context.source.rollout_marks(context.window, context.scope).frame)
    except DashboardError:
        return None


def heard_until(context: PageContext) -> datetime | None:
    """Return the newest sign of life of the carts that the filters leave."""
    return newest_sign(in_scope(context.source.carts().frame, context.scope))


def unheard_stores(context: PageContext, scope: Scope) -> dict[str, str]:
    """Return the stores that have carts, none of which was heard lately: their names with the age."""
    carts, names = in_scope(context.source.carts().frame, scope), names_of_stores(context)
    return {
        str(
            store_id
        ): f"{names.get(str(store_id), store_id)} (last heard {formats.ago(context.now - newest)})"
        for store_id, own in carts.groupby("store_id")
        if (newest := newest_sign(own)) is not None and context.now - newest > STALE_AFTER
    }


def names_of_stores(context: PageContext) -> dict[str, str]:
    """Return the stores' names."""
    return store_names(context.source.stores().frame)
