"""Where on the Rollouts page we are: in the URL, so that a link opens exactly that."""

import streamlit as st

_ROLLOUT, _NEW = "rollout", "new"


def chosen_rollout() -> str | None:
    """Return the rollout that the URL names."""
    return st.query_params.get(_ROLLOUT) or None


def wants_new() -> bool:
    """Whether the URL asks for the form."""
    return _NEW in st.query_params


def open_rollout(rollout_id: str) -> None:
    """Open a rollout; a callback, or before `st.rerun`."""
    st.query_params.pop(_NEW, None)
    st.query_params[_ROLLOUT] = rollout_id


def open_new() -> None:
    """Open the form; a callback."""
    st.query_params.pop(_ROLLOUT, None)
    st.query_params[_NEW] = "1"


def open_list() -> None:
    """Go back to the list; a callback."""
    for name in (_ROLLOUT, _NEW):
        st.query_params.pop(name, None)
