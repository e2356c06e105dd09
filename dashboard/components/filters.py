"""The sidebar: time range, store, model and auto-refresh, all bound to the URL."""

import streamlit as st

from dashboard import formats
from dashboard.components.context import ALL, MODEL, RANGE, REFRESH, STORE, PageContext, store_names
from dashboard.components.live import DEFAULT_INTERVAL, INTERVALS
from dashboard.errors import DashboardError
from dashboard.timeframe import DEFAULT_RANGE, RANGES, window_of

_WISH = "wished_filters"


def draw_filters(context: PageContext, *, used: bool = True) -> None:
    """Draw the filters; their values are in the session, under the same names as in the URL.

    Args:
        context: Of the page.
        used: Whether the page heeds them; if not, they wait for the next page that does.
    """
    stores = _stores(context)
    _accept_wish()
    with st.sidebar:
        st.segmented_control(
            "Time range",
            list(RANGES),
            default=DEFAULT_RANGE,
            required=True,
            key=RANGE,
            bind="query-params",
            width="stretch",
            disabled=not used,
        )
        st.selectbox(
            "Store",
            [ALL, *stores],
            format_func=lambda s: stores.get(s, "All stores"),
            key=STORE,
            bind="query-params",
            disabled=not used,
        )
        models = _models(context)
        st.selectbox(
            "Model version",
            [ALL, *models],
            format_func=lambda m: formats.short_version(m) if m else "All versions",
            key=MODEL,
            bind="query-params",
            disabled=not used,
            help="The first eight digits of the model's digest; newest first.",
        )
        st.segmented_control(
            "Auto-refresh",
            list(INTERVALS),
            default=DEFAULT_INTERVAL,
            required=True,
            key=REFRESH,
            bind="query-params",
            width="stretch",
            wrap=False,
        )


def open_store(store_id: str) -> None:
    """Leave for the Store page, with all filters as they are but the store."""
    wish = {name: st.session_state.get(name) for name in (RANGE, MODEL, REFRESH)}
    st.session_state[_WISH] = {**wish, STORE: store_id}
    # Without {} Streamlit refuses to leave a page whose parameters are bound to widgets.
    st.switch_page("app_pages/store.py", query_params={})


def _accept_wish() -> None:
    """Set the filters to what was wished: bound widgets can only be moved before they are drawn."""
    for name, value in st.session_state.pop(_WISH, {}).items():
        if value is not None:
            st.session_state[name] = value


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
