"""The form for a new rollout: typed or pasted, checked against the carts that exist, then created once."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components.cached_control import PageControl, forget_control
from dashboard.components.context import PageContext
from dashboard.components.header import page_header
from dashboard.components.loading import names_of_stores
from dashboard.components.rollout_links import open_list, open_rollout
from dashboard.errors import DashboardError, PlanDraftError, SourceRefusedError
from dashboard.orders import LONGEST_REASON
from dashboard.sources.control import Preview
from dashboard.view_models import plan_form as forms
from dashboard.view_models.rollout_words import carts
from dashboard.view_models.rollouts import escaped

_CHECKED, _MADE, _REASON = "plan_checked", "plan_made", "plan_reason"
_TYPED, _PASTED = "Form", "YAML"
_OWNER = "rollout_owner"
_EXAMPLE = """rollout: autumn
model: 66196504fd6e7b0a
target: {stores: [s001, s002]}
stages:
  - {name: canary, percent: 10, bake: 2h}
  - {name: all, percent: 100}
windows:
  - {start: "22:00", end: "06:00"}
"""


@dataclass(slots=True, eq=False)
class Checked:
    """A plan with what the API said about it.

    Attributes:
        plan: The plan.
        preview: What it would mean.
        key: Makes sure that it is created once.
        said: Why it was not created.
    """

    plan: dict[str, Any]
    preview: Preview
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    said: str = ""


def draw_form(context: PageContext, control: PageControl) -> None:
    """Draw the form; outside of what is drawn again every few seconds."""
    if made := st.session_state.pop(_MADE, None):
        open_rollout(made)
        st.rerun()
    st.button("All rollouts", key="back", icon=":material/arrow_back:", type="tertiary", on_click=open_list)
    page_header("New rollout", context, "nothing reaches a cart before it is started", counted=False)
    try:
        if control.me().role != _OWNER or control.nameless:
            st.info("Only a rollout owner creates rollouts.", icon=":material/lock:")
            return
        plan = _draw_plan(context, control)
    except PlanDraftError as error:
        st.button("Check against the fleet", key="plan_check", icon=":material/fact_check:", disabled=True)
        st.caption(escaped(str(error)))
        return
    except DashboardError as error:
        st.error(escaped(getattr(error, "sentence", str(error)).capitalize()), icon=":material/cloud_off:")
        return
    _draw_check(plan, control)


def _draw_plan(context: PageContext, control: PageControl) -> dict[str, Any]:
    how = st.segmented_control(
        "How", [_TYPED, _PASTED], default=_TYPED, required=True, key="plan_how", label_visibility="collapsed"
    )
    if how == _PASTED:
        text = st.text_area("Plan", key="plan_yaml", height=320, placeholder=_EXAMPLE)
        return forms.plan_of_yaml(text)
    return forms.plan_of_form(_draw_fields(context, control))


def _draw_fields(context: PageContext, control: PageControl) -> forms.PlanForm:
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
        percent = second[3].number_input(
            "Percent of them", 1.0, 100.0, 100.0, 5.0, format="%.0f", key="plan_percent"
        )
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
            format_func=lambda v: {"gates": "Proof of pairs of carts", "people": "People only"}[v],
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


def _draw_check(plan: dict[str, Any], control: PageControl) -> None:
    st.button(
        "Check against the fleet", key="plan_check", icon=":material/fact_check:",
        on_click=_guarded(_check), args=(plan, control),
    )  # fmt: skip
    checked: Checked | str | None = st.session_state.get(_CHECKED)
    if isinstance(checked, str):
        st.error(escaped(checked), icon=":material/block:")
    elif checked is not None and forms.fingerprint(checked.plan) == forms.fingerprint(plan):
        _draw_preview(checked.preview)
        if not checked.preview.problems:
            _draw_create(checked, control)
    elif checked is not None:
        st.caption("The plan has changed since it was checked.")


def _guarded(action: Callable[[dict[str, Any], PageControl], None]) -> Callable[..., None]:
    def run(plan: dict[str, Any], control: PageControl) -> None:
        try:
            action(plan, control)
        except DashboardError as error:
            st.session_state[_CHECKED] = getattr(error, "sentence", str(error))

    return run


def _check(plan: dict[str, Any], control: PageControl) -> None:
    st.session_state[_CHECKED] = Checked(plan, control.direct.preview(plan))


def _draw_preview(preview: Preview) -> None:
    with st.container(border=True):
        st.markdown(
            f"**{carts(preview.carts)}** of the target: {preview.offline} offline now, "
            f"{preview.already} run the model already."
        )
        st.dataframe(
            pd.DataFrame(
                {
                    "Stage": [s.name for s in preview.stages],
                    "Adds": [s.carts for s in preview.stages],
                    "Pairs with a control": [s.pairs for s in preview.stages],
                    "By store": [_counts(s.by_store) for s in preview.stages],
                    "By hardware": [_counts(s.by_hardware) for s in preview.stages],
                }
            ),
            hide_index=True,
            key="plan_preview",
            alt="; ".join(f"{s.name}: {carts(s.carts)}" for s in preview.stages),
        )
        for problem in preview.problems:
            st.error(escaped(_sentence(problem)), icon=":material/block:")
        for warning in preview.warnings:
            st.warning(escaped(_sentence(warning)), icon=":material/warning:")


def _counts(counts: Any) -> str:
    return " · ".join(f"{name} {n}" for name, n in sorted(counts.items()))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _draw_create(checked: Checked, control: PageControl) -> None:
    with st.form("plan_create", border=False, enter_to_submit=False):
        st.text_input(
            "Reason (optional)", key=_REASON, max_chars=LONGEST_REASON, placeholder="Kept in the audit log"
        )
        if checked.said:
            st.error(escaped(checked.said), icon=":material/block:")
        st.form_submit_button(
            "Create", key="plan_submit", type="primary", icon=":material/add:", on_click=_create,
            args=(checked, control),
        )  # fmt: skip


def _create(checked: Checked, control: PageControl) -> None:
    """Create it; a callback. Sent twice with its key, it is created once."""
    reason = str(st.session_state.get(_REASON) or "")
    try:
        made = control.direct.create(checked.plan, checked.key, reason)
    except SourceRefusedError as error:
        checked.said, checked.key = f"Nothing was created. {error.sentence}", secrets.token_hex(16)
        return
    except DashboardError as error:
        why = getattr(error, "sentence", str(error))
        checked.said = f"The control API did not answer: {why} Create again: it is created once."
        return
    forget_control()
    st.session_state.pop(_CHECKED, None)
    st.session_state[_MADE] = made.id
