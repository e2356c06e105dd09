"""Below a rollout's gates, in tabs: its carts, its timeline, commands to it, and its plan."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st
import yaml

from dashboard import formats
from dashboard.components.cached_control import PageControl
from dashboard.components.cards import draw_table
from dashboard.components.context import PageContext
from dashboard.components.panel import panel
from dashboard.components.rollout_carts import draw_carts
from dashboard.orders import ACTIONS
from dashboard.sources.control import CommandView, LogPage, RolloutView
from dashboard.state import Outcome
from dashboard.view_models.rollout_words import plain
from dashboard.view_models.rollouts import escaped

# Entries of the log looked at in one step; fewer hides a stage behind the reports of its carts.
ENTRIES_A_STEP = 500
_MOST_COMMANDS = 100
_TABS = ("Carts", "Timeline", "Commands", "Plan")
_TIMELINE = "timeline_until"


def draw_tables(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    """Draw the tabs; only the open one asks."""
    tabs = st.tabs(list(_TABS), key="rollout_tab", on_change="rerun")
    draw = (draw_carts, _draw_timeline_tab, _draw_commands_tab, _draw_plan)
    for tab, render in zip(tabs, draw, strict=True):
        if tab.open:
            with tab:
                render(rollout, context, control)


def _draw_timeline_tab(rollout: RolloutView, context: PageContext, control: PageControl) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        steps = st.toggle("Steps of single carts", key="timeline_carts")
    known, until = st.session_state.get(_TIMELINE, (None, 0))
    until = until if known == rollout.id and until else rollout.version
    panel(
        "",
        lambda: _load_log(rollout, until, context, control),
        lambda page: _draw_log(page, rollout, until, context, carts=steps),
        context=replace(context, part=("log", rollout.id, until)),
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
        context=replace(context, part=("audit", rollout.id)),
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
