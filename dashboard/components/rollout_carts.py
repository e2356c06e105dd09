"""The carts of a rollout: one page of a table, narrowed by status and store."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components.cached_control import PageControl
from dashboard.components.cards import draw_table
from dashboard.components.context import PageContext
from dashboard.components.loading import names_of_stores
from dashboard.components.panel import panel
from dashboard.errors import DashboardError
from dashboard.sources.control import CartPage, RolloutView
from dashboard.state import Outcome
from dashboard.view_models.rollout_words import CART_MARKS, CARTS, plain

# Carts on one page of the table: what fits on a screen.
CARTS_A_PAGE = 50
ALL_STORES = ""
POOL = "pool"
_STATUSES, _STORE, _PAGES = "cart_statuses", "cart_store", "cart_pages"
_IN_STAGES = tuple(status for status in CARTS if status != POOL)


def draw_carts(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    """Draw the carts with their filters; the filters are kept while the page is drawn again."""
    counts = _counts(rollout)
    names = _store_names(rollout, context)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        store = st.selectbox(
            "Store",
            [ALL_STORES, *names],
            format_func=lambda s: names.get(s, "All stores"),
            key=_STORE,
            width=220,
        )
        statuses = st.pills(
            "Status",
            [status for status in CARTS if counts.get(status)],
            selection_mode="multi",
            format_func=lambda s: f"{CARTS[s]} {counts[s]:,}" if s in counts else CARTS[s],
            key=_STATUSES,
        )
    # A page is the cart after which it begins; another filter begins anew.
    asked = (rollout.id, tuple(statuses), store)
    known, pages = st.session_state.get(_PAGES, (None, [""]))
    pages = pages if known == asked else [""]
    # Controls are most carts at first, and nothing happens to them: they are shown when asked for.
    wanted = (tuple(statuses) or _IN_STAGES, store or None, pages[-1])
    panel(
        "",
        partial(_load_carts, rollout, context, control, asked=wanted),
        lambda page: _draw_page(page, rollout, names, asked, pages),
        context=replace(context, part=("carts", asked, pages[-1])),
        key="rollout_carts",
        border=False,
        nothing="No cart matches. Carts that are in no stage yet are its controls.",
    )


def _counts(rollout: RolloutView) -> Counter[str]:
    counts = Counter({POOL: rollout.pool})
    for stage in rollout.stages:
        counts.update(stage.counts)
    return counts


def _store_names(rollout: RolloutView, context: PageContext) -> dict[str, str]:
    try:
        names = names_of_stores(context)
    except DashboardError:
        names = {}
    target = rollout.plan.get("target")
    wanted = [str(s) for s in target.get("stores") or ()] if isinstance(target, dict) else []
    return {store: names.get(store, store) for store in wanted or sorted(names)}


def _load_carts(
    rollout: RolloutView,
    context: PageContext,
    control: PageControl,
    *,
    asked: tuple[tuple[str, ...], str | None, str],
) -> Outcome[CartPage]:
    page = control.carts(rollout, *asked, CARTS_A_PAGE)
    return Outcome(page, len(page.carts), context.now)


def _draw_page(
    page: CartPage, rollout: RolloutView, names: dict[str, str], asked: object, pages: list[str]
) -> None:
    draw_table(
        cart_table(page, rollout, names),
        CART_COLUMNS,
        key="rollout_carts_table",
        alt=f"{len(page.carts)} carts of the rollout with their status.",
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        first = (len(pages) - 1) * CARTS_A_PAGE + 1
        st.caption(f"Carts {first} to {first + len(page.carts) - 1}, by id.", width="content")
        st.button(
            "Previous",
            key="carts_previous",
            type="tertiary",
            disabled=len(pages) == 1,
            on_click=_turn,
            args=(asked, pages[:-1]),
        )
        st.button(
            "Next",
            key="carts_next",
            type="tertiary",
            disabled=page.next is None,
            on_click=_turn,
            args=(asked, [*pages, page.next or ""]),
        )


def _turn(asked: object, pages: list[str]) -> None:
    st.session_state[_PAGES] = asked, pages


def cart_table(page: CartPage, rollout: RolloutView, names: dict[str, str]) -> pd.DataFrame:
    """Return the table of carts as drawn."""
    stages = {stage.index: stage.name for stage in rollout.stages}
    return pd.DataFrame(
        {
            "Cart": [c.cart for c in page.carts],
            "Status": [
                f"{CART_MARKS.get(c.status, '·')} {CARTS.get(c.status, c.status)}" for c in page.carts
            ],
            "Store": [names.get(c.store, c.store) for c in page.carts],
            "Stage": [stages.get(c.stage, "") if c.stage is not None else "" for c in page.carts],
            "Why": [c.why or formats.UNKNOWN for c in page.carts],
            "Runs": [formats.short_version(c.running) if c.running else formats.UNKNOWN for c in page.carts],
            "Said last": [plain(c.device.lower()) if c.device else formats.UNKNOWN for c in page.carts],
            "Try": [c.attempt for c in page.carts],
            "Since": [c.changed_at for c in page.carts],
            "Told": [c.told_at for c in page.carts],
            "Pair": [c.pair or formats.UNKNOWN for c in page.carts],
            "Hardware": [c.hardware or formats.UNKNOWN for c in page.carts],
        }
    )


CART_COLUMNS = {
    "Cart": st.column_config.TextColumn(pinned=True),
    "Status": st.column_config.TextColumn(
        help="As the cloud knows it: done is what telemetry proves, not what the cart says."
    ),
    "Why": st.column_config.TextColumn(width="medium", help="In the cart's own words."),
    "Runs": st.column_config.TextColumn(help="Model that it last said or showed to run."),
    "Said last": st.column_config.TextColumn(help="The step of the update that the cart reported last."),
    "Try": st.column_config.NumberColumn(format="%d"),
    "Since": st.column_config.DatetimeColumn(format="distance"),
    "Told": st.column_config.DatetimeColumn(format="distance"),
    "Pair": st.column_config.TextColumn(help="The cart without the model that it is compared with."),
}
