"""From a decision to what the cart says about it: pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fleet_agent.basket.decision import Decision
from fleet_agent.basket.weighed import ItemWeights
from fleet_agent.events import ItemEvent
from fleet_agent.manifest import ItemClass


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an event says besides the decision.

    Attributes:
        at_ms: When it was decided, epoch milliseconds.
        session_id: The shopping trip.
        decision_ms: From the newest frame that counted until the decision; None when no frame counted.
    """

    at_ms: int
    session_id: str | None
    decision_ms: float | None


def item_event(
    decision: Decision,
    change_g: float,
    classes: Sequence[ItemClass],
    weights: ItemWeights,
    *,
    name: Callable[[], str],
    when: Circumstances,
) -> ItemEvent | None:
    """Return the event of one weight change; None for a shift, which is no event.

    Of a pair it is the event of the first item and carries the second's. The weight change is split in
    proportion to what the two items are expected to weigh, so that both parts add up to what was measured,
    and each has its part of the residual.

    Args:
        decision: What was decided.
        change_g: Signed, as measured.
        classes: The catalogue.
        weights: Of its items.
        name: Gives the next event its id.
        when: What else the event says.
    """
    if decision.kind == "shift":
        return None
    whole = ItemEvent(
        event_id=name(),
        at_ms=when.at_ms,
        session_id=when.session_id,
        item_id=None if decision.item_ix is None else classes[decision.item_ix].item_id,
        quantity=decision.quantity,
        direction=decision.direction,
        posterior=decision.posterior,
        top=tuple((classes[ix].item_id, p) for ix, p in decision.top),
        camera_confidence=decision.camera_confidence,
        weight_change_g=change_g,
        weight_residual_g=decision.weight_residual_g,
        outcome=decision.outcome,
        decision_ms=when.decision_ms,
    )
    if decision.item_ix is None or decision.second_ix is None:
        return whole
    expected_g = [float(weights.mean_g[ix]) for ix in decision.items]
    parts = [
        replace(
            whole,
            item_id=classes[ix].item_id,
            weight_change_g=change_g * part_g / sum(expected_g),
            weight_residual_g=change_g * part_g / sum(expected_g) - math.copysign(part_g, change_g),
        )
        for ix, part_g in zip(decision.items, expected_g, strict=True)
    ]
    return replace(parts[0], second=replace(parts[1], event_id=name()))
