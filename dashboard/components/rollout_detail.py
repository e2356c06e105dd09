"""One rollout: its head with what can be done, its stages, and its gates."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import formats
from dashboard.charts.evidence import evidence_course, interval_bar
from dashboard.charts.share_bar import share_bar
from dashboard.components.cached_control import PageControl
from dashboard.components.cards import draw_chart, draw_plain
from dashboard.components.context import PageContext
from dashboard.components.rollout_actions import draw_actions, draw_pause
from dashboard.components.rollout_list import model_names
from dashboard.sources.control import RolloutView
from dashboard.state import Outcome
from dashboard.view_models.gates import GateCard, build_gates
from dashboard.view_models.rollout_detail import StageCard, head_sentence
from dashboard.view_models.rollout_words import STATUSES, word_of
from dashboard.view_models.rollouts import escaped, model_text, progress

HOW_GATES = (
    "Evidence is an e-value: how many times better harm explains the events than no harm does. "
    "It may be looked at every second for ever: the chance that it ever reaches the line without harm is "
    "alpha, the gate's share of the plan's. Only pairs of carts may promote a stage."
)
# Gates beside one another.
_GATES_WIDE = 3


@dataclass(frozen=True, slots=True)
class Detail:
    """One rollout with the names of models."""

    rollout: RolloutView
    names: dict[str, str]


def load_detail(rollout_id: str, context: PageContext, control: PageControl) -> Outcome[Detail]:
    """Load a rollout: one call for each refresh."""
    rollout = control.rollout(rollout_id)
    return Outcome(Detail(rollout, model_names(control.models())), 1, context.now)


def draw_head(found: Detail, context: PageContext, control: PageControl) -> None:
    """Draw where it is and what can be done about it; Pause first."""
    rollout = found.rollout
    word = word_of(STATUSES, rollout.status)
    rest = head_sentence(rollout, context.now).removeprefix(word.text)
    with st.container(border=True, key="rollout_head"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
            st.markdown(f":{word.colour}-badge[{word.icon} {word.text}]{escaped(rest)}", width="stretch")
            draw_pause(rollout, control, "head")
        done, total = progress(rollout)
        back = rollout.status in ("rolling_back", "rolled_back")
        verb = "are back on the old model" if back else "have proved that they run the new model"
        st.progress(done / total if total else 0.0, text=f"{done:,} of {total:,} carts {verb}")
        draw_actions(rollout, control)
        parts = (
            f"Model {model_text(rollout.model, found.names)}",
            f"baseline {model_text(rollout.baseline, found.names)}",
            f"id {rollout.id}",
            f"created {formats.clock(rollout.created_at, context.zone, context.now)} by {rollout.created_by}",
        )
        st.caption(escaped(" · ".join(parts)))


def draw_stages(cards: Sequence[StageCard], context: PageContext) -> None:
    """Draw the stages in a strip that wraps."""
    with st.grid(max(1, min(len(cards), 5)), min_column_width=190, gap="small"):
        for place, card in enumerate(cards):
            with st.container(border=True, height="stretch", gap="xsmall", key=f"stage_{place}"):
                _draw_stage(card, context)


def _draw_stage(card: StageCard, context: PageContext) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{escaped(card.title)}**", width="content")
        st.badge(card.word.text, icon=card.word.icon, color=card.word.colour)
    st.html(share_bar(card.shares, context.look.colours))
    st.caption(escaped(" · ".join(part for part in (card.planned, card.timing) if part)))
    if card.why:
        st.caption(escaped(card.why[:1].upper() + card.why[1:].rstrip(".") + "."))


def load_gates(
    rollout: RolloutView, context: PageContext, control: PageControl
) -> Outcome[tuple[GateCard, ...]]:
    """Load what the gates know."""
    cards = build_gates(control.evidence(rollout).gates, rollout.plan)
    return Outcome(cards, len(cards), context.now)


def draw_gates(cards: Sequence[GateCard], context: PageContext) -> None:
    """Draw the gates as cards: those that may stop it first, then what they rest on."""
    # Cards of one row are equally high: those with a course beside one another.
    cards = sorted(cards, key=lambda card: not card.evidence.history)
    with st.grid(min(_GATES_WIDE, max(1, len(cards))), min_column_width=300, gap="small"):
        for card in cards:
            with st.container(border=True, height="stretch", gap="xsmall", key=f"gate_{card.key}"):
                _draw_gate(card, context)


def _draw_title(card: GateCard) -> None:
    st.markdown(f"**{card.title}**", width="content")
    st.badge(card.word.text, icon=card.word.icon, color=card.word.colour)
    if card.watches and card.evidence.verdict != "shadow":
        st.badge("Watches only", icon=":material/visibility:", color="gray")


def _draw_gate(card: GateCard, context: PageContext) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _draw_title(card)
    if card.sentence:
        st.markdown(escaped(card.sentence))
    for fact in card.facts:
        st.caption(escaped(fact))
    if card.evidence.history:
        draw_chart(evidence_course(card, context.look), context, f"evidence_{card.key}")
    bar = interval_bar(card.evidence, card.margin or 0.0, context.look)
    if bar is not None:
        st.caption(bar.caption)
        draw_plain(bar, f"interval_{card.key}")
    _draw_foot(card, context)


def _draw_foot(card: GateCard, context: PageContext) -> None:
    gate = card.evidence
    counted = (
        gate.watermark_at and f"events up to {formats.clock(gate.watermark_at, context.zone, context.now)}"
    )
    parts = (
        card.note and escaped(card.note.rstrip(".")),
        counted,
        gate.alpha and f"alpha {gate.alpha:.3g}",
        card.query and f"query {card.query.partition('(')[0]}",
    )
    asked = f"`{card.query.replace('`', '')}`" if card.query else None
    st.caption(" · ".join(part for part in parts if part), help=asked)
