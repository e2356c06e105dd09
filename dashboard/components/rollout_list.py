"""The list of rollouts: filters with their counts, what runs now with its Pause, and the table."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components.cached_control import PageControl
from dashboard.components.context import PageContext
from dashboard.components.rollout_actions import pause_button
from dashboard.components.rollout_links import open_new, open_rollout
from dashboard.sources.control import VIEWER, ModelView, RolloutView
from dashboard.state import Outcome
from dashboard.view_models.rollouts import FILTERS, RolloutRow, build_rows, head_line, kept, status_text

_TABLE, _SHOW, _FILTER = "rollouts_table", "show", "rollouts_filter"
_OWNER = "rollout_owner"
# Strips above the table; more push the table off the screen.
MOST_STRIPS = 4
NO_ROLLOUTS = "There are no rollouts yet. A rollout owner creates the first one."


@dataclass(frozen=True, slots=True)
class Listing:
    """The list with what its rows were made of."""

    rows: tuple[RolloutRow, ...]
    rollouts: tuple[RolloutView, ...]
    role: str


def load_list(context: PageContext, control: PageControl) -> Outcome[Listing]:
    """Load the list: one call; roles and the registry are asked once a minute."""
    rollouts = control.rollouts()
    rows = build_rows(rollouts, short_names(control.models()))
    return Outcome(Listing(rows, rollouts, control.me().role), len(rows), context.now)


def model_names(models: tuple[ModelView, ...]) -> dict[str, str]:
    """Return the names of models by digest."""
    return {model.digest: f"{model.name} {model.version}".strip() for model in models}


def short_names(models: tuple[ModelView, ...]) -> dict[str, str]:
    """Return the same for a narrow column: the version alone where all models have one name."""
    if len({model.name for model in models}) > 1:
        return model_names(models)
    return {model.digest: model.version for model in models}


def draw_list(found: Listing, context: PageContext, control: PageControl) -> None:
    """Draw it; a click on a row opens the rollout."""
    may_act = found.role != VIEWER and not control.nameless
    for rollout in [r for r in found.rollouts if r.status == "running"][:MOST_STRIPS]:
        _draw_strip(rollout, context, may_pause=may_act)
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = kept(found.rows, _draw_filters(found.rows))
        st.space("stretch")
        draw_new(control)
    if not shown:
        st.info("No rollout is in this state.", icon=":material/filter_alt_off:")
        return
    chosen = st.dataframe(
        rollout_table(shown),
        column_config=ROLLOUT_COLUMNS,
        hide_index=True,
        key=_TABLE,
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        placeholder=formats.UNKNOWN,
        alt=f"{len(shown)} rollouts; first {shown[0].title}, {shown[0].status}.",
    ).selection
    st.caption("What waits for a person first. Click a row to open the rollout.")
    places = [*chosen.rows, *(row for row, _ in chosen.cells)]
    if places and places[0] < len(shown):
        open_rollout(shown[places[0]].rollout_id)
        st.rerun()


def draw_new(control: PageControl) -> None:
    """Draw the button that opens the form; an owner's."""
    if control.me().role == _OWNER and not control.nameless:
        st.button("New rollout", key="new_rollout", icon=":material/add:", on_click=open_new)


def _draw_filters(rows: tuple[RolloutRow, ...]) -> str:
    # Not bound: the URL would hold what is drawn, and that counts.
    asked = st.query_params.get(_SHOW, "")
    chosen = st.segmented_control(
        "Show",
        list(FILTERS),
        default=asked if asked in FILTERS else "all",
        required=True,
        format_func=lambda name: f"{FILTERS[name]} {len(kept(rows, name))}",
        key=_FILTER,
        on_change=_keep_filter,
        label_visibility="collapsed",
    )
    return str(chosen or "all")


def _keep_filter() -> None:
    st.query_params[_SHOW] = st.session_state[_FILTER]


def _draw_strip(rollout: RolloutView, context: PageContext, *, may_pause: bool) -> None:
    """Draw one line of a rollout that runs, so that stopping it needs no search."""
    with st.container(
        border=True,
        horizontal=True,
        vertical_alignment="center",
        gap="small",
        wrap=False,
        key=f"strip_{rollout.id}",
    ):
        st.markdown(head_line(rollout, context.now), width="stretch")
        st.button(
            "Open",
            key=f"open_{rollout.id}",
            type="tertiary",
            icon=":material/open_in_full:",
            on_click=open_rollout,
            args=(rollout.id,),
        )
        if may_pause:
            pause_button(rollout, rollout.id)


def rollout_table(rows: tuple[RolloutRow, ...]) -> pd.DataFrame:
    """Return the table as drawn."""
    return pd.DataFrame(
        {
            "Rollout": [r.title for r in rows],
            "Status": [status_text(r.status) for r in rows],
            "Waits for": [r.waits_for.capitalize() or formats.UNKNOWN for r in rows],
            "Stage": [r.stage or formats.UNKNOWN for r in rows],
            "Progress": [None if r.share is None else 100 * r.share for r in rows],
            "Carts": [f"{r.done} of {r.total}" for r in rows],
            "Gates": [r.gates or formats.UNKNOWN for r in rows],
            "Changed": [r.changed_at for r in rows],
            "Model": [r.model for r in rows],
        }
    )


ROLLOUT_COLUMNS = {
    "Rollout": st.column_config.TextColumn(width=178, pinned=True),
    "Status": st.column_config.TextColumn(width=112),
    "Model": st.column_config.TextColumn(
        help="Version, with its name where models have several, and the first eight digits of the digest."
    ),
    "Stage": st.column_config.TextColumn(width=100, help="The stage that runs or ran last."),
    "Progress": st.column_config.ProgressColumn(
        width=92,
        format="%.0f %%",
        min_value=0,
        max_value=100,
        help="Carts that run the model, of those it is for; on the way back: those that are back.",
    ),
    "Carts": st.column_config.TextColumn(width=84),
    "Gates": st.column_config.TextColumn(width=142, help="What its gates say, the gravest first."),
    "Waits for": st.column_config.TextColumn(width=84, help="What a person has to do."),
    "Changed": st.column_config.DatetimeColumn(
        width=96, format="distance", help="When its status last changed."
    ),
}
