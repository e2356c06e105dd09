"""The form for a new rollout: typed or pasted, checked against the carts that exist, then created once."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.cached_control import PageControl, forget_control
from dashboard.components.context import PageContext
from dashboard.components.header import page_header
from dashboard.components.rollout_fields import draw_fields
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
model: "0c7ce507831db5b8"
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
    return forms.plan_of_form(draw_fields(context, control))


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
