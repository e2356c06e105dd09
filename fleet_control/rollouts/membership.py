"""Which carts a stage gets: a seeded draw, stratified by store and hardware. Pure.

Every cart has a rank: a hash of the rollout's seed and its id. Within a stratum (store and hardware) carts
stand in the order of their ranks at the places (i + u) / n, u drawn per stratum; the target is ordered by
place. So any first part of the order has its share of every stratum, to within one cart, larger parts hold
smaller ones, and nobody chooses who is first (systematic sampling with random starts; Cochran, Sampling
Techniques, chapter 8).

Pairs: a canary and the first free cart of its stratum that stays behind. Given the two, the draw alone has
said which one is the canary: that is the lot that `PairedGate` counts on.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from fleet_control.rollouts.events import Candidate
from fleet_control.rollouts.plan import Plan, StagePlan, Target
from fleet_control.rollouts.ports import CartSighting

# Parts of a hash that become a number in [0, 1).
_RANGE = float(2**64)


@dataclass(frozen=True, slots=True)
class Draw:
    """The carts of a stage.

    Attributes:
        carts: Those that get the model now, in the order of the draw.
        pairs: (canary, control).
    """

    carts: tuple[Candidate, ...]
    pairs: tuple[tuple[str, str], ...]


def seed_of(plan: Plan) -> str:
    """Return what the draw of a plan is seeded with."""
    return plan.seed if plan.seed is not None else plan.rollout


def population(plan: Plan, fleet: Iterable[CartSighting]) -> tuple[Candidate, ...]:
    """Return the carts of a plan's target, in the order of its draw."""
    chosen = [
        Candidate(cart.store, cart.cart, cart.hardware) for cart in fleet if is_target(plan.target, cart)
    ]
    drawn = ordered(seed_of(plan), chosen)
    return drawn[: _share(plan.target.percent, len(drawn))]


def is_target(target: Target, cart: CartSighting) -> bool:
    """Whether a target names a cart, but for its percentage."""
    if target.stores and cart.store not in target.stores:
        return False
    if target.carts and cart.cart not in target.carts:
        return False
    labels = {"hardware": cart.hardware, **cart.labels}
    return all(labels.get(name) in allowed for name, allowed in target.labels.items())


def ordered(seed: str, carts: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return carts in the order of the draw."""
    strata: dict[tuple[str, str], list[Candidate]] = {}
    for cart in sorted(carts, key=lambda cart: _rank(seed, cart.cart)):
        strata.setdefault((cart.store, cart.hardware), []).append(cart)
    places = [
        ((index + _rank(seed, *stratum)) / len(members), _rank(seed, cart.cart), cart)
        for stratum, members in strata.items()
        for index, cart in enumerate(members)
    ]
    return tuple(cart for _, _, cart in sorted(places, key=lambda place: place[:2]))


def size_upto(stage: StagePlan, total: int) -> int:
    """Return how many carts of a target run the model when a stage with a size has ended."""
    if stage.percent is not None:
        return _share(stage.percent, total)
    return min(total, stage.carts) if isinstance(stage.carts, int) else 0


def _share(percent: float, total: int) -> int:
    # A hair below, so that 10 % of 30 is 3 in binary fractions, too.
    return min(total, max(1, ceil(percent / 100.0 * total - 1e-9)))


def draw_stage(
    seed: str, stage: StagePlan, target: Sequence[Candidate], taken: Iterable[str], gone: Iterable[str] = ()
) -> Draw:
    """Return the carts of a stage.

    Args:
        seed: Of the rollout.
        stage: Its plan.
        target: All carts of the target, in the order of the draw.
        taken: Ids of carts of earlier stages.
        gone: Ids of carts that left the target.
    """
    earlier, away = set(taken), set(gone)
    free = [cart for cart in target if cart.cart not in earlier and cart.cart not in away]
    if isinstance(stage.carts, tuple):
        named = set(stage.carts)
        # Somebody chose them, no lot did: nothing can be concluded from pairs.
        return Draw(tuple(cart for cart in free if cart.cart in named), ())
    wanted = size_upto(stage, len(target)) - len(earlier & {cart.cart for cart in target})
    members = tuple(free[: max(0, wanted)])
    return Draw(members, _pairs(seed, members, free[len(members) :]))


def _pairs(
    seed: str, canaries: Sequence[Candidate], controls: Sequence[Candidate]
) -> tuple[tuple[str, str], ...]:
    waiting: dict[tuple[str, str], list[str]] = {}
    for cart in sorted(controls, key=lambda cart: _rank(seed, cart.cart), reverse=True):
        waiting.setdefault((cart.store, cart.hardware), []).append(cart.cart)
    return tuple(
        (cart.cart, alike.pop()) for cart in canaries if (alike := waiting.get((cart.store, cart.hardware)))
    )


def by_stratum(carts: Iterable[Candidate], field: str) -> Mapping[str, int]:
    """Return how many carts there are by `store` or `hardware`."""
    counts: dict[str, int] = {}
    for cart in carts:
        key: str = getattr(cart, field)
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def _rank(*parts: str) -> float:
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / _RANGE
