"""One cart's shoppers, one after the other: what they do when, and how they answer the cart.

Driven by `step(now)` and `heard(event)`; who calls them owns the thread. Keeps the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from demo.carts.theatre import Theatre
from demo.world.places import Cart
from demo.world.settings import World
from demo.world.shoppers import Claim, Move, Reaction, draw_trip, react, tastes
from demo.world.stage import Movement
from demo.world.truth import TruthRow
from fleet_agent.events import Direction, ItemEvent, Label, LabelType

# Mean pause between two movements of one shopper. Lower keeps the laptop busy: each movement is
# some fifty rendered and inferred frames; higher makes a demo in which little happens.
MEAN_PAUSE_S = 24.0
SHORTEST_PAUSE_S = 9.0
# Between two shoppers: paying, and the way back from the till.
MEAN_TILL_S = 30.0
# A cart that has said nothing this long after the movement has missed it.
PATIENCE_S = 8.0
# People look at the screen this long before they correct, scan, or audit.
ANSWER_AFTER_S = (1.5, 4.5)
# How far along the shelves a cart is pushed between movements.
STEP_ALONG = 0.13


class Ear(Protocol):
    """What a shopper can tell the cart: the agent, or a double."""

    def begin_session(self, session_id: str | None) -> None:
        """Name the shopping trip; None ends it."""
        ...

    def record_label(self, label: Label) -> None:
        """Say what really happened."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    due_s: float
    label: Label


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds that never jump, and the time of day."""

    monotonic_s: Callable[[], float]
    epoch_ms: Callable[[], int]


class CartShopping:
    """The life of one cart.

    Args:
        world: Tastes and faults.
        cart: Which.
        start: How often the demo was started: each start has other shoppers.
        theatre: Where movements happen.
        ear: Who is told of sessions and labels.
        keep: Writes the truth.
        clocks: Time.
        prepare: Called with the next move a while before it is made.
        pace: How long pauses are now, relative to what they always are.
    """

    def __init__(
        self,
        world: World,
        cart: Cart,
        *,
        start: int,
        theatre: Theatre,
        ear: Ear,
        keep: Callable[[TruthRow], None],
        clocks: Clocks,
        prepare: Callable[[Move], None] = lambda _: None,
        pace: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._world = world
        self._cart = cart
        self._start = start
        self._theatre = theatre
        self._ear = ear
        self._keep = keep
        self._clocks = clocks
        self._prepare = prepare
        self._pace = pace
        self._rng = np.random.default_rng([world.settings.seed, 2_000 + cart.index, start])
        self._taste = tastes(world.settings.seed, world.store(cart.store_id).index)
        self._trip = draw_trip(self._rng, self._taste)
        self._trips = 0
        self._moves = 0
        self._session: str | None = None
        self._next: Move | None = None
        # Carts do not all begin at once.
        self._due_s = clocks.monotonic_s() + float(self._rng.uniform(1.0, MEAN_PAUSE_S))
        self._awaited: Movement | None = None
        self._awaited_ms = 0
        self._answers: list[_Answer] = []

    def step(self, now_s: float) -> float:
        """Do what is due; return when to call again."""
        self._give_answers(now_s)
        if self._awaited is not None and now_s > self._awaited.lands_s + PATIENCE_S:
            self._settle(None)
        if self._awaited is None and now_s >= self._due_s:
            self._advance(now_s)
        waits = [self._due_s if self._awaited is None else self._awaited.lands_s + PATIENCE_S + 0.01]
        return min(waits + [answer.due_s for answer in self._answers])

    def _advance(self, now_s: float) -> None:
        if self._session is None:
            self._begin_trip(now_s)
        elif self._next is None:
            self._end_trip(now_s)
        else:
            self._make(self._next)

    def _begin_trip(self, now_s: float) -> None:
        self._trips += 1
        self._session = f"{self._cart.cart_id}-{self._start}-{self._trips}"
        self._ear.begin_session(self._session)
        self._trip = draw_trip(self._rng, self._taste)
        self._plan_next(now_s)

    def _plan_next(self, now_s: float) -> None:
        self._next = next(self._trip, None)
        pause_s = MEAN_PAUSE_S if self._next is None else MEAN_PAUSE_S * self._next.think_s
        self._due_s = now_s + max(SHORTEST_PAUSE_S, pause_s) * self._pace()
        if self._next is not None:
            self._theatre.wheel_to((self._theatre.stage.aisle + STEP_ALONG) % 1.0)
            self._prepare(self._next)

    def _end_trip(self, now_s: float) -> None:
        self._session = None
        self._ear.begin_session(None)
        self._theatre.empty()
        self._due_s = now_s + MEAN_TILL_S * float(self._rng.uniform(0.7, 1.3)) * self._pace()

    def _make(self, move: Move) -> None:
        self._moves += 1
        self._awaited = self._theatre.begin(self._rng, move)
        self._awaited_ms = self._clocks.epoch_ms()

    def heard(self, event: ItemEvent) -> None:
        """Take in what the cart has said: it answers the movement that waits, or is a ghost."""
        self._settle(event)

    def _settle(self, event: ItemEvent | None) -> None:
        movement, self._awaited = self._awaited, None
        truth = Claim(None, 0, event.direction if event else "add")
        if movement is not None:
            truth = Claim(movement.move.item_id, movement.move.quantity, str(movement.move.direction))
        reactions = self._react(event, truth) if event is not None else ()
        self._keep(self._truth_row(movement, truth, event, reactions))
        if movement is not None:
            self._plan_next(self._clocks.monotonic_s())

    def _react(self, event: ItemEvent, truth: Claim) -> tuple[Reaction, ...]:
        said = Claim(event.item_id, event.quantity, event.direction)
        reactions = react(self._rng, said=said, truth=truth, asked=event.outcome == "asked")
        for reaction in reactions:
            due_s = self._clocks.monotonic_s() + float(self._rng.uniform(*ANSWER_AFTER_S))
            self._answers.append(_Answer(due_s, _label(event, truth, reaction)))
        return reactions

    def _give_answers(self, now_s: float) -> None:
        due = [answer for answer in self._answers if answer.due_s <= now_s]
        self._answers = [answer for answer in self._answers if answer.due_s > now_s]
        for answer in due:
            self._ear.record_label(answer.label)

    def _truth_row(
        self,
        movement: Movement | None,
        truth: Claim,
        event: ItemEvent | None,
        reactions: tuple[Reaction, ...],
    ) -> TruthRow:
        at_ms = self._awaited_ms if movement is not None else self._clocks.epoch_ms()
        event_id = event.event_id if event else None
        number = f"m{self._moves}" if movement is not None else f"ghost-{event_id}"
        return TruthRow(
            truth_id=f"{self._cart.cart_id}/{self._start}/{number}",
            store_id=self._cart.store_id,
            cart_id=self._cart.cart_id,
            session_id=self._session,
            at_ms=at_ms,
            item_id=truth.item_id,
            quantity=truth.quantity,
            direction=truth.direction,
            faults=" ".join(self._world.faults.active(self._cart, at_ms)),
            source="live",
            event_id=event_id,
            said_item_id=event.item_id if event else None,
            said_quantity=event.quantity if event else None,
            said_direction=event.direction if event else None,
            outcome=event.outcome if event else None,
            labels=" ".join(reaction.kind for reaction in reactions),
        )


def _label(event: ItemEvent, truth: Claim, reaction: Reaction) -> Label:
    nothing = truth.item_id is None
    return Label(
        type=cast("LabelType", reaction.kind),
        ref_event_id=event.event_id,
        ref_at_ms=event.at_ms,
        item_id=truth.item_id,
        quantity=None if nothing else truth.quantity,
        direction=None if nothing else cast("Direction", truth.direction),
        sampling_probability=reaction.sampling_probability,
        session_id=event.session_id,
    )
