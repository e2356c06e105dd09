"""The gates of a rollout: what each says, in plain words, with its numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard import formats
from dashboard.sources.control import GateEvidence
from dashboard.view_models.rollout_words import GATES, VERDICTS, Word, plain, word_of

# By the plan's own rule, where it does not say.
_DEFAULT_MARGINS = {"accuracy": 0.0, "promotion": 0.02}
_WHAT = {
    "accuracy": "item events that nobody contradicted",
    "errors": "errors per inference",
    "latency": "slow decisions",
    "sample_ratio": "share of all item events",
}


@dataclass(frozen=True, slots=True)
class GateCard:
    """One gate as drawn.

    Attributes:
        key: Its name.
        title: For people.
        word: Its verdict.
        watches: It watches only, and never stops anything.
        sentence: What the verdict means.
        facts: Its numbers, in sentences.
        note: What the gate itself says.
        query: The question to the warehouse.
        evidence: What it was made of.
        margin: Loss that is tolerated; None where that has no meaning.
    """

    key: str
    title: str
    word: Word
    watches: bool
    sentence: str
    facts: tuple[str, ...]
    note: str
    query: str
    evidence: GateEvidence
    margin: float | None

    @property
    def crossed_at(self) -> datetime | None:
        """When the evidence first reached its threshold."""
        return crossing(self.evidence)


def build_gates(gates: tuple[GateEvidence, ...], plan: Mapping[str, Any]) -> tuple[GateCard, ...]:
    """Build the panel of gates, in the order given."""
    return tuple(_card(gate, margin_of(gate.gate, plan)) for gate in gates)


def margin_of(gate: str, plan: Mapping[str, Any]) -> float | None:
    """Return the tolerated loss of a gate by its plan, as a difference of shares."""
    if gate not in _DEFAULT_MARGINS:
        return None
    mine: Any = plan.get("promotion") if gate == "promotion" else _own(gate, plan)
    margin = mine.get("margin") if isinstance(mine, Mapping) else None
    return float(margin) if isinstance(margin, int | float) else _DEFAULT_MARGINS[gate]


def _own(gate: str, plan: Mapping[str, Any]) -> Any:
    rules = [g for g in plan.get("gates") or () if isinstance(g, Mapping)]
    return next((g for g in rules if g.get("metric") == gate), None)


def _card(gate: GateEvidence, margin: float | None) -> GateCard:
    word = word_of(VERDICTS, gate.verdict)
    return GateCard(
        key=gate.gate,
        title=GATES.get(gate.gate, plain(gate.gate)),
        word=word,
        watches=gate.mode == "shadow",
        sentence=_sentence(gate, margin),
        facts=tuple(_facts(gate)),
        note=gate.note,
        query=gate.query,
        evidence=gate,
        margin=margin,
    )


# What no data means where it does not hold the stage.
_NOTHING = {"replay": "There was no day before to try the gates on: they are armed untried."}


def _sentence(gate: GateEvidence, margin: float | None) -> str:
    allowed = f"the margin of {_pp(margin)}" if margin else "chance"
    failed = {
        "accuracy": f"Carts with the new model are contradicted more often than {allowed} allows.",
        "errors": "Carts with the new model fail more often than the others.",
        "latency": "More decisions are slow with the new model than without.",
        "promotion": f"Pairs of carts show a loss of accuracy beyond {allowed}.",
        "sample_ratio": "Carts send another share of events than they should: do not trust comparisons.",
        "replay": "A gate fired on yesterday's data, without the new model: it cannot be trusted today.",
    }
    passed = {
        "accuracy": f"No loss of accuracy beyond {allowed} was found.",
        "errors": "No more errors than without the new model were found.",
        "latency": "No more slow decisions than without the new model were found.",
        "promotion": f"Pairs of carts prove that accuracy lost less than {allowed}.",
        "sample_ratio": "Carts send the share of events that they should.",
        "replay": "On yesterday's data, without the new model, no gate fired.",
    }
    match gate.verdict:
        case "fail" | "shadow":
            return failed.get(gate.gate, "It failed.")
        case "pass":
            return passed.get(gate.gate, "It passed.")
        case "no_data":
            return _NOTHING.get(gate.gate, "There is nothing to judge, so the stage does not pass by itself.")
        case "inconclusive" if gate.gate == "replay":
            return "The warehouse does not answer: no cart is told before the gates could be tried."
        case "inconclusive":
            return "Neither harm nor its absence is shown yet."
        case _:
            return ""


def _facts(gate: GateEvidence) -> list[str]:
    facts = []
    if gate.canary is not None and gate.control is not None and gate.canary[1] and gate.control[1]:
        of = _WHAT.get(gate.gate, "hits")
        facts.append(f"{of.capitalize()}: new model {_share(gate.canary)}, without {_share(gate.control)}.")
    if gate.pairs is not None:
        facts.append(f"{gate.pairs:,} pairs of carts have closed.")
    if gate.needed is not None and gate.verdict not in ("fail", "pass", "shadow"):
        harm = "a harm of the margin" if gate.gate in _DEFAULT_MARGINS else "a harm"
        facts.append(f"About {formats.count(gate.needed)} more canary events until {harm} would be found.")
    return facts


def _share(hits_of: tuple[float, float]) -> str:
    share = hits_of[0] / hits_of[1]
    digits = 1 if 0.05 <= share <= 0.995 else 2
    return f"{formats.percent(share, digits)} of {formats.count(hits_of[1])}"


def _pp(margin: float | None) -> str:
    points = 100 * (margin or 0.0)
    return f"{points:g} {'point' if points == 1 else 'points'}"


def crossing(gate: GateEvidence) -> datetime | None:
    """Return when the evidence first reached its threshold; None if it never did."""
    if gate.threshold is None:
        return None
    return next((at for at, value in gate.history if value >= gate.threshold), None)


def evidence_text(gate: GateEvidence) -> str:
    """Write how much evidence there is: "Evidence 1.4 of 60"."""
    if gate.e_value is None or gate.threshold is None:
        return ""
    past = ", past its line of " if gate.e_value >= gate.threshold else " of "
    return f"Evidence {_short(gate.e_value)}{past}{_short(gate.threshold)}."


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"
