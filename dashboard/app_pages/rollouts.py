"""Rollouts: which models are on their way, how far, and does anything have to be stopped?"""

from dataclasses import replace
from functools import partial

import streamlit as st

from dashboard.components.cached_control import PageControl, page_control
from dashboard.components.context import PageContext, page_context
from dashboard.components.header import page_header
from dashboard.components.live import live
from dashboard.components.panel import panel
from dashboard.components.rollout_actions import leave_for_dialog, open_dialog, take_asked
from dashboard.components.rollout_detail import (
    HOW_GATES,
    Detail,
    draw_gates,
    draw_head,
    draw_stages,
    load_detail,
    load_gates,
)
from dashboard.components.rollout_form import draw_form
from dashboard.components.rollout_links import chosen_rollout, open_list, wants_new
from dashboard.components.rollout_list import NO_ROLLOUTS, draw_list, draw_new, load_list
from dashboard.components.rollout_tables import draw_tables
from dashboard.sources.control import RolloutView
from dashboard.sources.control_opening import HOW_TO_CONNECT
from dashboard.state import PanelState
from dashboard.view_models.rollout_detail import build_stages
from dashboard.view_models.rollouts import title_of

# A stop has to be seen at once; the API is asked once for each turn and viewers share the answer.
REFRESH_S = 3.0
SIMULATED = "simulated rollouts"
NO_GATES = "No gate has looked yet: gates are armed when the first stage begins."


def body(shown: tuple[str | None, bool]) -> None:
    """Draw the page once; another view than `shown`, or a dialog, needs the whole script."""
    if (chosen_rollout(), wants_new()) != shown:
        st.rerun()
    leave_for_dialog()
    context, control = page_context(), page_control()
    if not control.connected:
        page_header("Rollouts", context, counted=False)
        st.info(HOW_TO_CONNECT, icon=":material/link_off:")
    elif shown[0] is None:
        draw_overview(context, control)
    else:
        draw_one(shown[0], context, control)


def draw_overview(context: PageContext, control: PageControl) -> None:
    """Draw the list."""
    page_header("Rollouts", context, SIMULATED if control.simulated else "", counted=False)
    context = replace(context, part="rollouts")
    state = panel(
        "",
        lambda: load_list(context, control),
        lambda found: draw_list(found, context, control),
        context=context,
        key="rollouts",
        nothing=NO_ROLLOUTS,
        border=False,
    )
    if state is PanelState.EMPTY:
        draw_new(control)


def draw_one(rollout_id: str, context: PageContext, control: PageControl) -> None:
    """Draw one rollout: what it is first, then why."""
    context = replace(context, part=rollout_id)
    st.button("All rollouts", key="back", icon=":material/arrow_back:", type="tertiary", on_click=open_list)
    top, drawn = st.container(), list[RolloutView]()

    def draw(found: Detail) -> None:
        drawn.append(found.rollout)
        draw_head(found, context, control)
        draw_stages(build_stages(found.rollout, context.now), context)

    panel(
        "",
        lambda: load_detail(rollout_id, context, control),
        draw,
        context=context,
        key="head",
        border=False,
        height_px=300,
    )
    with top:
        title = title_of(drawn[0]) if drawn else rollout_id
        page_header(title, context, SIMULATED if control.simulated else "", counted=False)
    if not drawn:
        return
    rollout = drawn[0]
    panel(
        "Gates",
        lambda: load_gates(rollout, context, control),
        partial(draw_gates, context=context),
        context=context,
        key="gates",
        explain=HOW_GATES,
        nothing=NO_GATES,
        border=False,
        height_px=420,
    )
    draw_tables(rollout, context, control)


asked = take_asked()
view = (chosen_rollout(), wants_new())
if view[1] and page_control().connected:
    draw_form(page_context(), page_control())
else:
    live(lambda: body(view), REFRESH_S)
if asked is not None:
    open_dialog(asked)
