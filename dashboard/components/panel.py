"""`panel(title, loader, render)`: one card that owns its six states, so that no failure blanks a page."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import streamlit as st
import structlog

from dashboard import formats
from dashboard.components.cached_control import forget_control
from dashboard.components.cached_source import forget_answers
from dashboard.components.context import ALL, MODEL, RANGE, STORE, PageContext
from dashboard.components.memory import PanelMemory
from dashboard.errors import DashboardError, SourceError, SourceRefusedError
from dashboard.sources.protocol import Reading
from dashboard.state import Outcome, PanelState, panel_state
from dashboard.timeframe import DEFAULT_RANGE

T = TypeVar("T")
_LOG = structlog.get_logger()
_MEMORY = "panel_memory"
# Carts send a window a minute and the rollups follow: older than this, something stands still.
STALE_AFTER = timedelta(minutes=10)
# Keeps what is stale visible, but out of the way. Aims at our own keys only.
STALE_STYLE = "<style>[class*='st-key-stale_'] {filter: grayscale(1); opacity: 0.55;}</style>"


def outcome_of(
    value: T,
    readings: tuple[Reading, ...],
    rows: int,
    *,
    data_until: datetime | None = None,
    missing: tuple[str, ...] = (),
) -> Outcome[T]:
    """Wrap what a loader built; it is as old as the oldest answer it is made of."""
    fetched_at = min((r.fetched_at for r in readings), default=None)
    return Outcome(value, rows, fetched_at, data_until, missing)


def panel(
    title: str,
    load: Callable[[], Outcome[T]],
    render: Callable[[T], None],
    *,
    context: PageContext,
    key: str,
    explain: str | None = None,
    nothing: str = "Nothing matches.",
    border: bool = True,
    height_px: int = 240,
    stale_after: timedelta = STALE_AFTER,
) -> PanelState:
    """Draw a card: load, decide which of the six states it is in, draw that.

    Args:
        title: Heading; "" for none.
        load: Asks the source and builds what is drawn; may raise `SourceError`.
        render: Draws it.
        context: Of the page.
        key: Unique on the page.
        explain: What the numbers mean, behind a question mark.
        nothing: What the empty state says.
        border: Whether it is drawn as a card.
        height_px: Of the placeholder while loading.
        stale_after: How old the newest data may be.

    Returns:
        The state it was drawn in.
    """
    with st.container(border=border, key=f"panel_{key}", gap="xsmall"):
        head = st.container(horizontal=True, vertical_alignment="center", gap="small")
        if title:
            head.markdown(f"##### {title}", help=explain, width="content")
        with st.skeleton(height=height_px):
            outcome = _load(load, context, key)
            state = panel_state(outcome, context.now, stale_after)
            _note(head, state, outcome, context)
            if state is PanelState.ERROR:
                _draw_error(outcome, context, key)
            elif state is PanelState.EMPTY:
                _draw_empty(nothing, key, context)
            else:
                _draw_value(render, outcome, state, key)
    return state


def _load(load: Callable[[], Outcome[T]], context: PageContext, key: str) -> Outcome[T]:
    memory: PanelMemory = st.session_state.setdefault(_MEMORY, PanelMemory())
    try:
        return memory.succeeded(key, context.filters, load())
    except SourceError as error:
        _LOG.warning("panel_source_failed", panel=key, source=error.source, question=error.question)
        verb = "refused" if isinstance(error, SourceRefusedError) else "did not answer"
        return memory.failed(key, context.filters, f"{error.source} {verb}: {error.sentence}", context.now)
    except DashboardError as error:
        return memory.failed(key, context.filters, str(error), context.now)
    except Exception:  # noqa: BLE001  # a bug in one panel must not take the page with it
        _LOG.exception("panel_load_failed", panel=key)
        return memory.failed(
            key, context.filters, "Its numbers could not be worked out; the log says why.", context.now
        )


def _note(head: Any, state: PanelState, outcome: Outcome[Any], context: PageContext) -> None:
    """Write beside the title what keeps the reader from trusting the card as fresh and complete."""
    if state is PanelState.STALE:
        newest = outcome.data_until or outcome.fetched_at
        age = formats.ago(context.now - newest) if newest else "of unknown age"
        head.badge(f"Stale: last data {age}", icon=":material/schedule:", color="gray")
        if outcome.failure is not None:
            since = formats.clock(outcome.failure.since, context.zone, context.now)
            head.caption(f"{outcome.failure.what} Failing since {since}.", width="content")
    elif state is PanelState.PARTIAL:
        names = formats.join_words(list(outcome.missing))
        head.badge(f"Partial: nothing from {names}", icon=":material/data_loss_prevention:", color="orange")


def _draw_error(outcome: Outcome[Any], context: PageContext, key: str) -> None:
    if outcome.failure is None:
        return
    since = formats.clock(outcome.failure.since, context.zone, context.now)
    st.error(
        f"{outcome.failure.what} Failing since {since}. Other panels load on their own.",
        icon=":material/cloud_off:",
    )
    st.button("Retry", key=f"retry_{key}", icon=":material/refresh:", on_click=_forget)


def _forget() -> None:
    forget_answers()
    forget_control()


def _draw_empty(nothing: str, key: str, context: PageContext) -> None:
    st.info(nothing, icon=":material/filter_alt_off:")
    if context.part is not None:
        return
    set_by_hand = st.session_state.get(RANGE, DEFAULT_RANGE) != DEFAULT_RANGE
    if st.session_state.get(STORE) or st.session_state.get(MODEL) or set_by_hand:
        st.button("Clear filters", key=f"clear_{key}", on_click=clear_filters)


def clear_filters() -> None:
    """Show all stores and models over the default range; a callback."""
    st.session_state[STORE] = st.session_state[MODEL] = ALL
    st.session_state[RANGE] = DEFAULT_RANGE


def _draw_value(render: Callable[[T], None], outcome: Outcome[T], state: PanelState, key: str) -> None:
    prefix = "stale" if state is PanelState.STALE else "fresh"
    with st.container(key=f"{prefix}_{key}"):
        try:
            if outcome.value is not None:
                render(outcome.value)
        except Exception:  # noqa: BLE001  # as above
            _LOG.exception("panel_render_failed", panel=key)
            st.error("This card could not be drawn; the log says why.", icon=":material/error:")
