"""What the cart decided and counted, as messages of the contract."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_agent.events import ItemEvent, Label
from fleet_agent.telemetry import Counts
from fleet_protocol.fields import SHORT_TEXT_CHARACTERS, TEXT_CHARACTERS
from fleet_protocol.messages import CartState, EventColumns, Events, HeldFrom, Update, Window


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks.

    Attributes:
        store: Store of the cart.
        cart: Its name.
        boot: This start of the agent.
        fw: Version of the agent.
        model: Digest of the model in use, as on the wire.
        sim: Whether all of it is simulated.
        cameras: Their names.
        hw: What the cart is made of.
        engine: What runs the model.
        labels: Its owner's, by which rollouts choose carts.
    """

    store: str
    cart: str
    boot: str
    fw: str
    model: str
    sim: bool
    cameras: tuple[str, ...]
    hw: str
    engine: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def envelope(self, seq: int) -> dict[str, Any]:
        """Return the fields that every message has."""
        return {
            "store": self.store,
            "cart": self.cart,
            "boot": self.boot,
            "seq": seq,
            "fw": self.fw,
            "model": self.model,
            "sim": self.sim,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStep:
    """A step of a model update.

    Attributes:
        state: As on the wire.
        target: Digest of the model being installed; None: none is.
        rollout: Which asked for it; None: none did.
        attempt: Which try of that rollout.
        number: Counts up within a try.
        reason: Why, when it failed; empty otherwise.
    """

    state: str
    target: str | None
    rollout: str | None
    attempt: int
    number: int
    reason: str = ""


def update_message(identity: Identity, step: UpdateStep, *, at_ms: int, seq: int) -> Update:
    """Return the message of one step of an update; its `model` is what runs."""
    return Update(
        **identity.envelope(seq),
        t0=at_ms,
        state=step.state,
        target=step.target,
        reason=step.reason[:TEXT_CHARACTERS] or None,
        rollout=step.rollout,
        attempt=step.attempt,
        step=step.number,
    )


def item_message(identity: Identity, event: ItemEvent, seq: int) -> Events:
    """Return the message of one movement: a row for its item, and one for the other item of a pair."""
    rows = event.rows
    columns = EventColumns(
        id=[row.event_id for row in rows],
        ts=[row.at_ms - event.at_ms for row in rows],
        type=["item" for _ in rows],
        session=[row.session_id for row in rows],
        item=[row.item_id for row in rows],
        qty=[row.quantity for row in rows],
        dir=[row.direction for row in rows],
        p=[_probability(row.posterior) for row in rows],
        top=[_probabilities(row.top) for row in rows],
        cam=[_probabilities(row.camera_confidence) for row in rows],
        dw=[round(row.weight_change_g, 1) for row in rows],
        res=[None if row.weight_residual_g is None else round(row.weight_residual_g, 1) for row in rows],
        outcome=[row.outcome for row in rows],
        ms=[None if row.decision_ms is None else round(row.decision_ms, 2) for row in rows],
    )
    return Events(**identity.envelope(seq), t0=event.at_ms, cols=columns)


def label_message(identity: Identity, label: Label, *, row_id: str, at_ms: int, seq: int) -> Events:
    """Return the message of one label."""
    columns = EventColumns(
        id=[row_id],
        ts=[0],
        type=[label.type],
        session=[label.session_id],
        item=[label.item_id],
        qty=[label.quantity],
        dir=[label.direction],
        ref=[label.ref_event_id],
        ref_ts=[label.ref_at_ms],
        prob=[label.sampling_probability],
    )
    return Events(**identity.envelope(seq), t0=at_ms, cols=columns)


def window_message(
    identity: Identity, counts: Counts, *, gauges: dict[str, float], t0: int, t1: int, seq: int
) -> Window:
    """Return the message of one telemetry window."""
    return Window(
        **identity.envelope(seq),
        t0=t0,
        # The clock of a cart may be set back within a window.
        t1=max(t0, t1),
        hist=dict(counts.hist),
        sig=dict(counts.sig),
        cnt=dict(counts.cnt),
        gau=gauges,
    )


def state_message(
    identity: Identity, *, online: bool, session: int, at_ms: int, held: list[HeldFrom]
) -> CartState:
    """Return the birth of a session, or (online false) its will."""
    if not online:
        return CartState(
            v=1,
            online=False,
            store=identity.store,
            cart=identity.cart,
            boot=identity.boot,
            session=session,
            sim=identity.sim,
        )
    return CartState(
        v=1,
        online=True,
        store=identity.store,
        cart=identity.cart,
        boot=identity.boot,
        session=session,
        fw=identity.fw,
        model=identity.model,
        t=at_ms,
        sim=identity.sim,
        cameras=list(identity.cameras),
        hw=identity.hw,
        engine=identity.engine[:SHORT_TEXT_CHARACTERS],
        labels=dict(identity.labels),
        held=held,
    )


def _probabilities(pairs: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    return [(name, _probability(p)) for name, p in pairs]


def _probability(p: float) -> float:
    return round(min(1.0, max(0.0, p)), 4)
