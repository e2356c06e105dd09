"""What people do to a rollout: buttons, and one dialog that says what it means before it is done."""

import contextlib

import streamlit as st

from dashboard import formats
from dashboard.components.cached_control import PageControl, forget_control, page_control
from dashboard.errors import DashboardError
from dashboard.orders import ACTIONS, LONGEST_REASON, Draft, Outcome, carry_out
from dashboard.sources.control import FINAL, VIEWER, Choice, RolloutView
from dashboard.view_models.rollouts import escaped, title_of

# The dialog is opened by the whole script, not by the part that is drawn again every few seconds:
# that part would close it with its next turn.
_ASKED, _ANSWER = "rollout_asked", "rollout_answer"
_REASON = "rollout_reason"
_PAUSE = "pause"
CANNOT_ACT = "Your role is viewer: you may look. An on-call engineer or a rollout owner can act."
NAMELESS = "Your login has no verified e-mail address, so you may look and not act."


def draw_pause(rollout: RolloutView, control: PageControl, key: str) -> None:
    """Draw Pause where it is allowed; one click from here is its confirmation."""
    choice = next((c for c in rollout.choices if c.action == _PAUSE), None)
    if choice is not None and choice.allowed and not control.nameless:
        pause_button(rollout, key)


def pause_button(rollout: RolloutView, key: str) -> None:
    """Draw Pause."""
    st.button(
        ACTIONS[_PAUSE].text,
        key=f"pause_{key}",
        icon=ACTIONS[_PAUSE].icon,
        type="primary",
        on_click=_ask,
        args=(rollout, _PAUSE),
    )


def draw_actions(rollout: RolloutView, control: PageControl) -> None:
    """Draw the other actions in a row; those that are not allowed say why."""
    if rollout.status in FINAL:
        return
    if control.nameless or control.me().role == VIEWER:
        st.caption(NAMELESS if control.nameless else CANNOT_ACT)
        return
    with st.container(horizontal=True, gap="small"):
        known = {choice.action: choice for choice in rollout.choices}
        for action in ACTIONS:
            if action != _PAUSE and action in known:
                _draw_action(rollout, known[action])


def _draw_action(rollout: RolloutView, choice: Choice) -> None:
    word = ACTIONS[choice.action]
    why = choice.why_not[:1].upper() + choice.why_not[1:]
    st.button(
        word.text,
        key=f"do_{choice.action}",
        icon=word.icon,
        disabled=not choice.allowed,
        help=f"Not now: {why}." if not choice.allowed else None,
        on_click=_ask,
        args=(rollout, choice.action),
    )


def _ask(rollout: RolloutView, action: str) -> None:
    """Prepare the question, with the rollout as it is at this moment; a callback."""
    # Whoever wants to stop a rollout must not be stopped by a reading that failed.
    with contextlib.suppress(DashboardError):
        rollout = page_control().direct.rollout(rollout.id)
    st.session_state[_ASKED] = Draft(rollout, action)
    st.session_state.pop(_REASON, None)


def leave_for_dialog() -> None:
    """Run the whole script where something was asked for: called by what is drawn again and again."""
    if _ASKED in st.session_state or _ANSWER in st.session_state:
        st.rerun()


def take_asked() -> Draft | None:
    """Return what was asked for, once; and say what became of the command before."""
    answer: str | None = st.session_state.pop(_ANSWER, None)
    if answer is not None:
        st.toast(escaped(answer), icon=":material/check_circle:")
    draft: Draft | None = st.session_state.pop(_ASKED, None)
    return draft


def open_dialog(draft: Draft) -> None:
    """Open the dialog of a draft."""
    word = draft.word
    question = f"{word.text}: {title_of(draft.seen)}?"
    st.dialog(question, icon=word.icon)(_draw_dialog)(draft)


def _draw_dialog(draft: Draft) -> None:
    if draft.outcome is Outcome.DONE:
        st.rerun()
    _draw_consequences(draft)
    if draft.outcome in (Outcome.REFUSED, Outcome.CHANGED):
        st.error(escaped(draft.said), icon=":material/block:")
        if st.button("Close", key="close_dialog"):
            forget_control()
            st.rerun()
        return
    with st.form("rollout_dialog", border=False, enter_to_submit=False):
        needed = draft.word.needs_reason
        st.text_input(
            "Reason" if needed else "Reason (optional)",
            key=_REASON,
            max_chars=LONGEST_REASON,
            disabled=draft.outcome is Outcome.UNKNOWN,
            placeholder="Kept in the audit log",
        )
        if draft.outcome is Outcome.UNKNOWN:
            st.warning(escaped(draft.said), icon=":material/help:")
        elif draft.said:
            st.error(escaped(draft.said), icon=":material/edit:")
        again = draft.outcome is Outcome.UNKNOWN
        st.form_submit_button(
            "Send again" if again else draft.word.text,
            key="confirm_action",
            type="primary",
            icon=draft.word.icon,
            on_click=_confirm,
            args=(draft,),
        )


def _confirm(draft: Draft) -> None:
    """Send it; a callback, because the body of a dialog may run more than once for one click."""
    carry_out(draft, page_control().direct, str(st.session_state.get(_REASON) or ""))
    if draft.outcome is Outcome.DONE:
        forget_control()
        st.session_state[_ANSWER] = draft.said


def _draw_consequences(draft: Draft) -> None:
    if draft.consequences:
        st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in draft.consequences))
    else:
        st.markdown(_unknown(draft))


def _unknown(draft: Draft) -> str:
    if draft.action == _PAUSE:
        return "Carts that run the model keep it. Nobody else fetches it or puts it live until it is resumed."
    model, baseline = (formats.short_version(d) for d in (draft.seen.model, draft.seen.baseline))
    return f"Model {model}, baseline {baseline}. How many carts it concerns is not known now."
