"""What shoppers do, and what they say to a cart that got it wrong. Pure: draws from a generator."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.scenes import CATALOGUE, Direction, Gesture

# How often a pick is two of one item at once.
TWO_AT_ONCE = 0.10
# How often a pick is followed by putting something back on the shelf.
PUT_BACK = 0.10
# Picks on one trip, fewest and most.
TRIP_PICKS = (4, 12)
# How often a shopper who sees a wrong item on the screen corrects it. Real shoppers correct some
# errors and let others pass; that is why corrections alone underestimate the error rate.
CORRECTS_WRONG = 0.65
# How often the scan that the cart asked for is done.
SCANS_WHEN_ASKED = 0.92
# Share of item events that staff check, whatever the cart said: the logged sampling probability.
AUDIT_PROBABILITY = 0.04


@dataclass(frozen=True, slots=True)
class Move:
    """One thing a shopper does: put something in, or take something out.

    Attributes:
        item_ix: Position in the catalogue.
        quantity: Pieces, in one movement.
        direction: In or out.
        think_s: Pause before it, relative to an ordinary shopper (mean 1).
        gesture: How the hand moves; the phase is filled in frame by frame.
    """

    item_ix: int
    quantity: int
    direction: Direction
    think_s: float
    gesture: Gesture

    @property
    def item_id(self) -> str:
        """Key of the catalogue."""
        return CATALOGUE[self.item_ix].item_id


def tastes(seed: int, store_index: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return how often each item is picked in a store: sums to 1, differs a little between stores."""
    rng = np.random.default_rng([seed, 71, store_index])
    common = np.random.default_rng([seed, 70]).gamma(3.0, size=len(CATALOGUE))
    weights = common * rng.gamma(8.0, size=len(CATALOGUE))
    share: np.ndarray[tuple[int], np.dtype[np.float64]] = weights / weights.sum()
    return share


def draw_trip(
    rng: np.random.Generator, taste: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> Iterator[Move]:
    """Yield the moves of one shopping trip; never takes out what is not in the cart."""
    basket: list[int] = []
    for _ in range(int(rng.integers(TRIP_PICKS[0], TRIP_PICKS[1] + 1))):
        item_ix = int(rng.choice(len(CATALOGUE), p=taste))
        quantity = 2 if rng.random() < TWO_AT_ONCE else 1
        basket += [item_ix] * quantity
        yield _move(rng, item_ix, quantity, Direction.ADD)
        if rng.random() < PUT_BACK:
            back = basket.pop(int(rng.integers(len(basket))))
            yield _move(rng, back, 1, Direction.REMOVE)


def _move(rng: np.random.Generator, item_ix: int, quantity: int, direction: Direction) -> Move:
    gesture = Gesture(
        CATALOGUE[item_ix].item_id,
        direction,
        phase=0.0,
        yaw_deg=float(rng.uniform(0, 360)),
        pitch_deg=float(rng.choice([18.0, 18.0, 48.0])),
        roll_deg=float(rng.normal(0, 20)),
        lane=float(rng.uniform(-0.7, 0.7)),
        grip=float(rng.uniform(0.1, 0.6)),
        nearness=float(rng.uniform(0.9, 1.15)),
        skin=int(rng.integers(0, 6)),
        sleeve=int(rng.integers(0, 7)),
        duration_s=float(rng.uniform(1.5, 2.4)),
    )
    return Move(item_ix, quantity, direction, float(rng.gamma(6.0) / 6.0), gesture)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a cart said has moved, or what really has; `item_id` None is "nothing"."""

    item_id: str | None
    quantity: int
    direction: str

    def same_as(self, other: "Claim") -> bool:
        """Tell whether both say the same; nothing equals nothing, whatever the rest."""
        if self.item_id is None or other.item_id is None:
            return self.item_id is other.item_id
        return self == other


@dataclass(frozen=True, slots=True)
class Reaction:
    """A label that a person gives: `kind` is correction, scan or audit."""

    kind: str
    sampling_probability: float | None = None


def react(rng: np.random.Generator, *, said: Claim, truth: Claim, asked: bool) -> tuple[Reaction, ...]:
    """Return what people do after the cart has spoken.

    A shopper scans when asked (mostly), corrects what is wrong (often, not always), and never
    touches what is right; staff audit a random share of everything.
    """
    scans, corrects, audited = rng.random(3)
    reactions = []
    if asked and scans < SCANS_WHEN_ASKED:
        reactions.append(Reaction("scan"))
    elif not asked and not said.same_as(truth) and corrects < CORRECTS_WRONG:
        reactions.append(Reaction("correction"))
    if audited < AUDIT_PROBABILITY:
        reactions.append(Reaction("audit", AUDIT_PROBABILITY))
    return tuple(reactions)
