"""The fields of the form for a new rollout, filled with the models and carts that exist."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components.cached_control import PageControl
from dashboard.components.context import PageContext
from dashboard.components.loading import names_of_stores
from dashboard.errors import DashboardError
from dashboard.view_models import plan_form as forms


def draw_fields(context: PageContext, control: PageControl) -> forms.PlanForm:
    """Draw the fields and return what is in them."""
    models = {m.digest: f"{m.name} {m.version} · {formats.short_version(m.digest)}" for m in control.models()}
    fleet = control.fleet()
    stores = _names({c.store for c in fleet}, context)
    with st.container(border=True):
        st.markdown("##### What")
        first = st.columns([1, 2, 2, 2])
        rollout = first[0].text_input("Id", key="plan_id", max_chars=64, placeholder="autumn-2")
        title = first[1].text_input("Title", key="plan_title", max_chars=200, placeholder="Autumn shelves")
        model = first[2].selectbox(
            "Model",
            list(models),
            None,
            format_func=models.__getitem__,
            key="plan_model",
            placeholder="Choose a model",
        )
        baseline = first[3].selectbox(
            "Baseline", ["", *models], key="plan_baseline",
            format_func=lambda d: models.get(d, "What most carts run now"),
            help="A rollback brings it back.",
        )  # fmt: skip
    with st.container(border=True):
        st.markdown("##### Where")
        second = st.columns([2, 2, 2, 1])
        chosen = second[0].multiselect(
            "Stores",
            list(stores),
            format_func=stores.__getitem__,
            key="plan_stores",
            placeholder="All stores",
        )
        labels = second[1].multiselect(
            "Labels", forms.labels_of({**c.labels, "hardware": c.hardware} for c in fleet),
            key="plan_labels", placeholder="Any",
        )  # fmt: skip
        single = second[2].multiselect(
            "Single carts", [c.cart for c in fleet if not chosen or c.store in chosen], key="plan_carts",
            placeholder="All carts",
        )  # fmt: skip
        percent = second[3].number_input("Percent", 1.0, 100.0, 100.0, 5.0, format="%.0f", key="plan_percent")
    stages = _draw_stages()
    gates = _draw_gates()
    with st.container(border=True):
        st.markdown("##### Rules")
        third = st.columns(4)
        alpha = third[0].number_input(
            "Alpha", 0.001, 0.49, 0.05, 0.01, format="%.3f", key="plan_alpha",
            help="Probability that the gates together ever stop a harmless model.",
        )  # fmt: skip
        on_fail = third[1].selectbox(
            "When a gate fails", ["pause", "roll_back"], key="plan_on_fail",
            format_func=lambda v: {"pause": "Pause", "roll_back": "Pause and roll back"}[v],
        )  # fmt: skip
        by = third[2].selectbox(
            "Stages are promoted by", ["gates", "people"], key="plan_promotion",
            format_func=lambda v: {"gates": "Pairs of carts", "people": "People only"}[v],
        )  # fmt: skip
        margin = third[3].number_input(
            "Tolerated loss (points)", 0.0, 50.0, 2.0, 0.5, key="plan_margin", disabled=by == "people",
            help="Pairs of carts have to prove that accuracy loses less than that.",
        )  # fmt: skip
        approval = st.checkbox("A second person approves it before it starts", key="plan_approval")
        windows = _draw_windows()
    return forms.PlanForm(
        rollout=rollout, title=title, model=model or "", baseline=baseline, stores=chosen, carts=single,
        labels=labels, percent=percent, stages=stages, gates=gates, windows=windows, alpha=alpha,
        promotion=margin if by == "gates" else None, on_fail=on_fail, approval=approval,
    )  # fmt: skip


def _names(ids: set[str], context: PageContext) -> dict[str, str]:
    try:
        names = names_of_stores(context)
    except DashboardError:
        names = {}
    return {store: names.get(store, store) for store in sorted(ids)}


def _draw_stages() -> list[dict[str, Any]]:
    with st.container(border=True):
        st.markdown(
            "##### Stages", help="Percentages count earlier stages in; the last one is 100. Add rows below."
        )
        return _editor(
            "plan_stages",
            pd.DataFrame(forms.STAGES),
            {
                "name": st.column_config.TextColumn("Name", required=True, max_chars=32),
                "percent": st.column_config.NumberColumn(
                    "Percent", min_value=0.1, max_value=100.0, format="%.1f %%", required=True
                ),
                "bake": st.column_config.TextColumn("Bakes for", help="30m, 2h, 1d", required=True),
                "approval": st.column_config.CheckboxColumn("A person promotes it"),
            },
            rows="dynamic",
        )


def _draw_gates() -> list[dict[str, Any]]:
    with st.container(border=True):
        st.markdown("##### Gates", help="A gate that only watches never stops a rollout.")
        return _editor(
            "plan_gates",
            pd.DataFrame(forms.GATES),
            {
                "use": st.column_config.CheckboxColumn("Use"),
                "metric": st.column_config.TextColumn("Metric", disabled=True),
                "mode": st.column_config.SelectboxColumn("Mode", options=list(forms.MODES), required=True),
                "margin": st.column_config.NumberColumn(
                    "Margin", min_value=0.0, max_value=50.0, format="%.1f points", help="Of accuracy."
                ),
                "quantile": st.column_config.NumberColumn(
                    "Quantile", min_value=50.0, max_value=99.9, format="%.1f %%", help="Of latency."
                ),
                "threshold": st.column_config.NumberColumn(
                    "Threshold", min_value=1.0, format="%.0f ms",
                    help="Of latency; empty: the quantile of carts without the model, the day before.",
                ),
            },
        )  # fmt: skip


def _draw_windows() -> list[dict[str, Any]]:
    with st.expander("Maintenance windows: when carts may put it live"):
        st.caption("By each store's own clock. No rows: always.")
        empty = pd.DataFrame({"days": [""], "start": [""], "end": [""]}).iloc[:0]
        return _editor(
            "plan_windows",
            empty,
            {
                "days": st.column_config.TextColumn("Days", help="mon, tue; empty for all"),
                "start": st.column_config.TextColumn("From", help="22:00"),
                "end": st.column_config.TextColumn("To", help="06:00; before the start: on the next day"),
            },
            rows="dynamic",
        )


def _editor(
    key: str, frame: pd.DataFrame, columns: dict[str, Any], rows: Any = "fixed"
) -> list[dict[str, Any]]:
    edited = st.data_editor(
        frame, key=key, column_config=columns, num_rows=rows, hide_index=True, placeholder=formats.UNKNOWN
    )
    return [{str(name): value for name, value in row.items()} for row in edited.to_dict("records")]
