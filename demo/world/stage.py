"""What is physically going on at one cart, at any moment: what cameras see and the scale feels.

A pure function of the basket, the movement that is under way and the time, shared by the cart's
cameras and its scale, so that both tell of the same moment.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from demo.world.shoppers import Move
from training.scenes import CARRIED_PART, CATALOGUE, Direction, Gesture, LensState, Light, SceneState

# A dropped item makes the load cell ring: frequency, and how fast it dies away. A settled reading
# comes about 0.6 s after the item has landed.
RING_HZ = 7.0
RING_DAMPING_S = 0.16
RING_SHARE = 0.35
# Hands that carry two pieces come in side by side.
SECOND_LANE = 0.75


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of an item, with the weight it really has."""

    item_ix: int
    weight_g: float


def weigh_out(rng: np.random.Generator, item_ix: int) -> Piece:
    """Return a piece with a weight drawn from its item's spread."""
    item = CATALOGUE[item_ix]
    return Piece(item_ix, max(1.0, float(rng.normal(item.weight_g, item.weight_sd_g))))


@dataclass(frozen=True, slots=True)
class Movement:
    """A move that is under way: it began at `begun_s` (monotonic) with these pieces."""

    move: Move
    begun_s: float
    pieces: tuple[Piece, ...]

    @property
    def ends_s(self) -> float:
        """When the hand has left the picture."""
        return self.begun_s + self.move.gesture.duration_s

    @property
    def lands_s(self) -> float:
        """When the weight changes: an added item is let go, a removed one is lifted."""
        part = CARRIED_PART if self.move.direction is Direction.ADD else 1.0 - CARRIED_PART
        return self.begun_s + part * self.move.gesture.duration_s

    @property
    def change_g(self) -> float:
        """Signed weight change."""
        weight_g = sum(piece.weight_g for piece in self.pieces)
        return weight_g if self.move.direction is Direction.ADD else -weight_g

    def gestures_at(self, now_s: float) -> tuple[Gesture, ...]:
        """Return the hands in the picture at a time."""
        phase = (now_s - self.begun_s) / self.move.gesture.duration_s
        if not 0.0 <= phase <= 1.0:
            return ()
        first = replace(self.move.gesture, phase=phase)
        if self.move.quantity == 1:
            return (first,)
        side = -SECOND_LANE if first.lane > 0 else SECOND_LANE
        lane = min(1.0, max(-1.0, first.lane + side))
        return (replace(first, lane=lane - side), replace(first, lane=lane, skin=first.skin))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Light and dirt at a cart, as one camera sees them."""

    light: Light
    lens: LensState = field(default_factory=LensState)


@dataclass(frozen=True, slots=True)
class Stage:
    """One cart: what lies in it and what is moving.

    Attributes:
        settled: Pieces that lay in the cart before the movement.
        movement: What is under way, or was last; None before the first.
        aisle: Where along the shelves the cart stands, 0 to 1.
        tare_g: What the scale shows beyond the weight in the cart. At the till it is set so that the
            reading does not jump: taking the shopping out there is no movement of items.
    """

    settled: tuple[Piece, ...] = ()
    movement: Movement | None = None
    aisle: float = 0.0
    tare_g: float = 0.0

    def busy_at(self, now_s: float) -> bool:
        """Tell whether a hand is in the picture."""
        movement = self.movement
        return movement is not None and movement.begun_s <= now_s <= movement.ends_s

    def load_g(self, now_s: float) -> float:
        """Return the weight on the load cell, with the ringing after a change."""
        load_g = self.tare_g + sum(piece.weight_g for piece in self.settled)
        movement = self.movement
        if movement is None or now_s < movement.lands_s:
            return load_g
        since_s = now_s - movement.lands_s
        ringing = RING_SHARE * math.exp(-since_s / RING_DAMPING_S) * math.cos(math.tau * RING_HZ * since_s)
        return load_g + movement.change_g * (1.0 + ringing)

    def scene(self, now_s: float, around: Surroundings) -> SceneState:
        """Return what a camera looks at."""
        gestures = self.movement.gestures_at(now_s) if self.movement is not None else ()
        basket = tuple(CATALOGUE[piece.item_ix].item_id for piece in self.settled)
        return SceneState(gestures, basket, around.light, around.lens, aisle=self.aisle)

    def after(self) -> "Stage":
        """Return the stage once its movement is over."""
        movement = self.movement
        if movement is None:
            return self
        if movement.move.direction is Direction.ADD:
            return replace(self, settled=(*self.settled, *movement.pieces), movement=None)
        left = list(self.settled)
        for piece in movement.pieces:
            left.remove(piece)
        return replace(self, settled=tuple(left), movement=None)

    def begin(self, rng: np.random.Generator, move: Move, now_s: float) -> "Stage":
        """Return the stage with a new movement; weights of added pieces are drawn.

        Raises:
            ValueError: the move takes out what is not in the cart.
        """
        rest = self.after()
        if move.direction is Direction.ADD:
            pieces = tuple(weigh_out(rng, move.item_ix) for _ in range(move.quantity))
        else:
            pieces = tuple(p for p in rest.settled if p.item_ix == move.item_ix)[: move.quantity]
        if len(pieces) != move.quantity:
            msg = f"there are not {move.quantity} of {move.item_id} in the cart"
            raise ValueError(msg)
        return replace(rest, movement=Movement(move, now_s, pieces))

    def wheeled_to(self, aisle: float) -> "Stage":
        """Return the stage at another place in the shop."""
        return replace(self.after(), aisle=aisle)

    def emptied(self, now_s: float) -> "Stage":
        """Return the stage after the till: nothing in the cart, and the scale's reading its new zero."""
        return Stage(aisle=self.aisle, tare_g=self.after().load_g(now_s))
