"""Below a rollout's gates: its carts, its timeline, commands to it, and its plan."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st
import yaml

from dashboard import formats
from dashboard.components.cached_control import PageControl
from dashboard.components.cards import draw_table
from dashboard.components.context import PageContext
from dashboard.components.loading import names_of_stores
from dashboard.components.panel import panel
from dashboard.errors import DashboardError
from dashboard.orders import ACTIONS
from dashboard.sources.control import CartPage, CommandView, LogPage, RolloutView
from dashboard.state import Outcome
from dashboard.view_models.rollout_words import CART_MARKS, CARTS, plain
from dashboard.view_models.rollouts import escaped

# Carts on one page of the table: what fits on a screen.
CARTS_A_PAGE = 50
# Entries of the log looked at in one step; fewer hides a stage behind the reports of its carts.
ENTRIES_A_STEP = 500
_MOST_COMMANDS = 100
_TABS = ("Carts", "Timeline", "Commands", "Plan")
_STATUSES, _STORE, _PAGES, _TIMELINE = "cart_statuses", "cart_store", "cart_pages", "timeline_until"
ALL_STORES = ""
POOL = "pool"
_IN_STAGES = tuple(status for status in CARTS if status != POOL)


def draw_tables(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    """Draw the tabs; only the open one asks."""
    tabs = st.tabs(list(_TABS), key="rollout_tab", on_change="rerun")
    draw = (_draw_carts_tab, _draw_timeline_tab, _draw_commands_tab, _draw_plan)
    for tab, render in zip(tabs, draw, strict=True):
        if tab.open:
            with tab:
                render(rollout, context, control)


def _draw_carts_tab(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
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
        lambda page: _draw_carts(page, rollout, names, asked, pages),
        context=_at(context, "carts", asked, pages[-1]),
        key="rollout_carts",
        border=False,
        nothing="No cart matches. Carts that are in no stage yet are its controls.",
    )


def _counts(rollout: RolloutView) -> Counter[str]:
    counts = Counter({POOL: rollout.pool})
    for stage in rollout.stages:
        counts.update(stage.counts)
    return counts


def _at(context: PageContext, *part: object) -> PageContext:
    return replace(context, part=part)


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


def _draw_carts(
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


def _draw_timeline_tab(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        steps = st.toggle("Steps of single carts", key="timeline_carts")
    known, until = st.session_state.get(_TIMELINE, (None, 0))
    until = until if known == rollout.id and until else rollout.version
    panel(
        "",
        lambda: _load_log(rollout, until, context, control),
        lambda page: _draw_log(page, rollout, until, context, carts=steps),
        context=_at(context, "log", rollout.id, until),
        key="rollout_log",
        border=False,
        nothing="Nothing has happened yet.",
    )


def _load_log(
    rollout: RolloutView, until: int, context: PageContext, control: PageControl
) -> Outcome[LogPage]:
    page = control.log(rollout, max(0, until - ENTRIES_A_STEP), ENTRIES_A_STEP)
    return Outcome(page, len(page.entries), context.now)


def _draw_log(page: LogPage, rollout: RolloutView, until: int, context: PageContext, *, carts: bool) -> None:
    shown = [entry for entry in reversed(page.entries) if carts or entry.cart is None]
    lines = [
        f"- :gray[{formats.clock(e.at, context.zone, context.now)}]  {escaped(e.text)}" for e in shown[:200]
    ]
    st.markdown("\n".join(lines) or "Only steps of single carts in this part of the log.")
    first = page.entries[0].number if page.entries else 1
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            f"Entries {first:,} to {until:,} of {rollout.version:,}, the newest first.", width="content"
        )
        st.button(
            "Older", key="log_older", type="tertiary", disabled=first <= 1, on_click=_move,
            args=(rollout.id, first - 1),
        )  # fmt: skip
        st.button(
            "Newest", key="log_newest", type="tertiary", disabled=until >= rollout.version, on_click=_move,
            args=(rollout.id, 0),
        )  # fmt: skip


def _move(rollout_id: str, until: int) -> None:
    st.session_state[_TIMELINE] = rollout_id, until


def _draw_commands_tab(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    panel(
        "",
        lambda: _load_audit(rollout, context, control),
        lambda commands: draw_table(
            command_table(commands, context),
            COMMAND_COLUMNS,
            key="rollout_commands",
            alt=f"{len(commands)} commands to the rollout, the newest first.",
        ),
        context=_at(context, "audit", rollout.id),
        key="rollout_audit",
        border=False,
        nothing="Nobody has asked anything of it yet.",
    )


def _load_audit(
    rollout: RolloutView, context: PageContext, control: PageControl
) -> Outcome[tuple[CommandView, ...]]:
    commands = control.audit(rollout, _MOST_COMMANDS)
    return Outcome(commands, len(commands), context.now)


def command_table(commands: Sequence[CommandView], context: PageContext) -> pd.DataFrame:
    """Return the audit log as drawn, times in the viewer's zone."""
    return pd.DataFrame(
        {
            "Time": [context.look.local(c.at) for c in commands],
            "Who": [c.actor for c in commands],
            "Role": [plain(c.role) for c in commands],
            "Asked for": [
                ACTIONS[c.action].text if c.action in ACTIONS else plain(c.action) for c in commands
            ],
            "Reason": [c.reason or formats.UNKNOWN for c in commands],
            "Outcome": [plain(c.outcome) if c.outcome == "done" else c.outcome for c in commands],
        }
    )


COMMAND_COLUMNS = {
    "Time": st.column_config.DatetimeColumn(format="D MMM HH:mm:ss"),
    "Who": st.column_config.TextColumn(width="medium"),
    "Reason": st.column_config.TextColumn(width="medium"),
    "Outcome": st.column_config.TextColumn(width="large", help="Refusals are kept as well, with why."),
}


def _draw_plan(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    del context, control
    text = yaml.safe_dump(dict(rollout.plan), sort_keys=False, allow_unicode=True, default_flow_style=None)
    st.code(text, language="yaml", wrap_lines=True)
