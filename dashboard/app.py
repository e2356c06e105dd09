"""The frame of the dashboard: who may come in, the pages, the filters.

Start with `streamlit run dashboard/app.py`.
The warehouse comes from CARTWRIGHT_WAREHOUSE; see `dashboard.sources.opening.open_source`.
"""

import os
import time

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.auth import Gate, Visit, gate, is_local
from dashboard.brand import ICON, LOGO
from dashboard.components.context import page_context
from dashboard.components.filters import draw_filters
from dashboard.components.panel import STALE_STYLE


def _oidc_configured() -> bool:
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def _visit() -> Visit:
    oidc = _oidc_configured()
    return Visit(
        oidc=oidc,
        claims=st.user.to_dict() if oidc else {},
        local=is_local(st.get_option("server.address"), dict(st.context.headers)),
        declared_open=os.environ.get("CARTWRIGHT_DASHBOARD_OPEN") == "1",
    )


def _let_in() -> None:
    """Stop the script unless the visitor may come in."""
    answer = gate(_visit(), time.time())
    if answer is Gate.OPEN:
        return
    st.title("Cartwright")
    if answer is Gate.LOG_IN:
        st.write("Log in to see your fleet.")
        st.button("Log in", type="primary", icon=":material/login:", on_click=st.login)
    else:
        st.error(
            "This server can be reached from other machines, but no login is configured. "
            "Add an [auth] section to .streamlit/secrets.toml, or set CARTWRIGHT_DASHBOARD_OPEN=1 "
            "if something in front of it checks who comes."
        )
    st.stop()


st.set_page_config(page_title="Cartwright", page_icon=ICON, layout="wide", initial_sidebar_state=300)
_let_in()
st.html(STALE_STYLE)
st.logo(LOGO, size="large", icon_image=ICON)
page = st.navigation(
    [
        st.Page(
            "app_pages/fleet.py",
            title="Fleet",
            icon=":material/storefront:",
            default=True,
            help="Which stores need attention? Key figures and all stores, worst first.",
        ),
        st.Page(
            "app_pages/store.py",
            title="Store",
            icon=":material/shopping_cart:",
            help="What is wrong in one store, since when? Its carts, timeline, cameras and events.",
        ),
        st.Page(
            "app_pages/latency.py",
            title="Latency",
            icon=":material/timer:",
            help="Where does the time go? Percentiles per stage, store and model against the budget.",
        ),
        st.Page(
            "app_pages/drift.py",
            title="Drift",
            icon=":material/insights:",
            help="What looks different from a store's own past? Light, sharpness, confidence and more.",
        ),
        st.Page(
            "app_pages/rollouts.py",
            title="Rollouts",
            icon=":material/rocket_launch:",
            help="Which models are on their way, how far, and does anything have to be stopped?",
        ),
    ]
)
# Rollouts are shown whole.
draw_filters(page_context(), used=page.title != "Rollouts")
if _oidc_configured():
    st.sidebar.button("Log out", icon=":material/logout:", type="tertiary", on_click=st.logout)
page.run()
