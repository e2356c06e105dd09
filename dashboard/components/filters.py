"""The sidebar: time range, store, model and auto-refresh, all bound to the URL."""

import streamlit as st

from dashboard import formats
from dashboard.components.context import ALL, MODEL, RANGE, REFRESH, STORE, PageContext, store_names
from dashboard.components.live import DEFAULT_INTERVAL, INTERVALS
from dashboard.errors import DashboardError
from dashboard.timeframe import DEFAULT_RANGE, RANGES, window_of

# Set by whoever wants another store shown: bound widgets can only be moved before they are drawn.
GO_TO_STORE = "go_to_store"


def draw_filters(context: PageContext) -> None:
    """Draw the filters; their values are in the session, under the same names as in the URL."""
    stores = _stores(context)
    _accept_wishes(stores)
    with st.sidebar:
        st.segmented_control(
            "Time range",
            list(RANGES),
            default=DEFAULT_RANGE,
            required=True,
            key=RANGE,
            bind="query-params",
            width="stretch",
        )
        st.selectbox(
            "Store",
            [ALL, *stores],
            format_func=lambda s: stores.get(s, "All stores"),
            key=STORE,
            bind="query-params",
        )
        models = _models(context)
        st.selectbox(
            "Model version",
            [ALL, *models],
            format_func=lambda m: formats.short_version(m) if m else "All versions",
            key=MODEL,
            bind="query-params",
            help="The first eight digits of the model's digest; newest first.",
        )
        st.segmented_control(
            "Auto-refresh", list(INTERVALS), default=DEFAULT_INTERVAL, required=True, key=REFRESH, bind="query-params",
            width="stretch",
        )  # fmt: skip


def _accept_wishes(stores: dict[str, str]) -> None:
    """Move the store filter to a wished store, and accept ids in links as well as names."""
    wish = st.session_state.pop(GO_TO_STORE, None)
    linked = st.query_params.get(STORE)
    if wish in stores:
        st.session_state[STORE] = wish
    elif linked in stores and STORE not in st.session_state:
        st.session_state[STORE] = linked


def _stores(context: PageContext) -> dict[str, str]:
    try:
        names = store_names(context.source.stores().frame)
    except DashboardError:
        # Keep what is chosen choosable, so that the URL survives while the warehouse is away.
        names = {context.scope.store_id: context.scope.store_id} if context.scope.store_id else {}
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _models(context: PageContext) -> list[str]:
    try:
        frame = context.source.models(window_of(RANGES["28d"], context.now)).frame
    except DashboardError:
        return [context.scope.model_digest] if context.scope.model_digest else []
    known = frame[frame["model_digest"].fillna("") != ""]
    return [str(m) for m in known.sort_values("last_at", ascending=False)["model_digest"]]
