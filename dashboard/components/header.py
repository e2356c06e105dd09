"""The top of each page: title, what is simulated, how fresh the data is, a link to exactly this view."""

import streamlit as st

from dashboard import formats
from dashboard.components.context import PageContext
from dashboard.errors import DashboardError
from dashboard.view_models import cells


def page_header(title: str, context: PageContext, subtitle: str = "", *, counted: bool = True) -> None:
    """Draw the header; a warehouse that does not answer costs the freshness line, not the page.

    Args:
        title: Of the page.
        context: Of the page.
        subtitle: What else to say below it.
        counted: Whether the page shows what the warehouse counted, and so depends on how fresh that is.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        badge = " :violet-badge[:material/science: Simulated data]" if _simulated(context) else ""
        st.title(f"{title}{badge}", width="content", anchor=False, help=_SIMULATED_HELP if badge else None)
        st.space("stretch")
        with st.popover("Link", icon=":material/link:", type="tertiary"):
            st.caption("This view, with its filters and time range:")
            st.code(_link(), language=None, wrap_lines=True)
    parts = [subtitle, _freshness(context) if counted else "", f"times in {context.zone.key}"]
    line = " · ".join(part for part in parts if part)
    st.caption(f"{line[:1].upper()}{line[1:]}")


_SIMULATED_HELP = "Carts, shoppers and stores are simulated; the software and the detector are the real ones."


def _simulated(context: PageContext) -> bool:
    try:
        stores, carts = context.source.stores().frame, context.source.carts().frame
    except DashboardError:
        return False
    return bool(stores["simulated"].any()) or bool(carts["simulated"].any())


def _freshness(context: PageContext) -> str:
    try:
        reading = context.source.freshness()
    except DashboardError:
        return "freshness unknown"
    if reading.frame.empty:
        return "no data yet"
    row = reading.frame.iloc[0]
    seen, counted = cells.time(row["last_seen_at"]), cells.time(row["counted_until"])
    if seen is None:
        return "no cart was ever seen"
    text = f"newest message {formats.ago(context.now - seen)}"
    if counted is not None:
        text += f" · hourly counts up to {formats.clock(counted, context.zone, context.now)}"
    return f"{text} · read at {formats.clock(reading.fetched_at, context.zone, context.now)}"


def _link() -> str:
    url = st.context.url or ""
    query = "&".join(f"{k}={v}" for k, v in st.query_params.items())
    return f"{url.partition('?')[0]}?{query}" if query else url
