"""Item events and labels for stories about baskets."""

from dataclasses import replace

from fleet_agent.events import Direction, ItemEvent, Label, LabelType, Outcome


def event(
    event_id: str,
    item_id: str | None,
    change_g: float,
    *,
    quantity: int = 1,
    outcome: Outcome = "accepted",
) -> ItemEvent:
    """Return an item event; its direction is the change's."""
    return ItemEvent(
        event_id=event_id,
        at_ms=1_790_000_000_000,
        session_id="trip",
        item_id=item_id,
        quantity=quantity,
        direction="add" if change_g > 0 else "remove",
        posterior=0.95,
        top=(),
        camera_confidence=(("front", 0.9),),
        weight_change_g=change_g,
        weight_residual_g=0.0,
        outcome=outcome,
        decision_ms=None,
    )


def label(
    ref: str,
    item_id: str | None,
    *,
    kind: LabelType = "scan",
    quantity: int | None = 1,
    direction: Direction | None = None,
) -> Label:
    """Return what somebody said about an event."""
    said = Label(type=kind, ref_event_id=ref, ref_at_ms=1_790_000_000_000, item_id=item_id)
    return replace(said, quantity=quantity, direction=direction)
