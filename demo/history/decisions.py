"""The item events of one cart's past and what people said about them, as arrays: one entry per event."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from demo.history.hours import Hours
from demo.history.pools import LIGHTS, Pool, Pools
from demo.history.profiles import BEFORE, PRESENT, Profile, look_alike
from demo.world.faults import SMEAR_LEVEL
from demo.world.places import Cart
from demo.world.settings import World
from demo.world.shoppers import (
    AUDIT_PROBABILITY,
    CORRECTS_WRONG,
    PUT_BACK,
    SCANS_WHEN_ASKED,
    TWO_AT_ONCE,
    tastes,
)
from training.scenes import CATALOGUE

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# The agent books from this posterior on, and asks below it (`fusion.accept_posterior`).
ACCEPT_POSTERIOR = 0.9
# Of wrong decisions, those for something else altogether; the rest is for the look-alike.
WRONG_OTHER = 0.15
# A right decision that the model before got wrong was at most this sure.
SURE_AND_WRONG = 0.93
# Standard deviation of a settled weight change of nothing, grams.
SCALE_SD_G = 2.0
# Events of one shopping trip, about.
TRIP_EVENTS = 8

WEIGHTS = np.asarray([item.weight_g for item in CATALOGUE])
WEIGHT_SDS = np.asarray([item.weight_sd_g for item in CATALOGUE])


@dataclass(frozen=True, slots=True)
class Decisions:
    """Item events in order of time; shapes (n,), cameras (n, cameras), top (n, 5).

    Attributes:
        hour: Index of the hour each belongs to.
        at_ms: Epoch milliseconds.
        trip: Number of the shopping trip.
        item: True item, index into the catalogue.
        quantity: True pieces.
        adds: True when it went in.
        said: Decided item.
        said_quantity: Decided pieces.
        posterior: Of the decision, 0 to 1.
        top_item: Five likeliest items.
        top_p: Their probabilities.
        camera_p: Each camera's probability of the decided item.
        disagree: How many cameras would have decided otherwise.
        change_g: Weight change.
        residual_g: Size of the weight change minus what the decision would weigh.
        asked: Whether the shopper was asked.
        decision_ms: Camera to decision.
        corrected: A shopper corrected it.
        scanned: A shopper scanned as asked.
        audited: Staff checked it.
    """

    hour: Ints
    at_ms: Ints
    trip: Ints
    item: Ints
    quantity: Ints
    adds: Bools
    said: Ints
    said_quantity: Ints
    posterior: Floats
    top_item: Ints
    top_p: Floats
    camera_p: Floats
    disagree: Ints
    change_g: Floats
    residual_g: Floats
    asked: Bools
    decision_ms: Floats
    corrected: Bools
    scanned: Bools
    audited: Bools

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def right(self) -> Bools:
        """Whether the decision was right."""
        return np.asarray((self.said == self.item) & (self.said_quantity == self.quantity))


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What the cart made of each movement, shapes as in `Decisions`."""

    wrong: Bools
    miscounted: Bools
    posterior: Floats
    margin: Floats
    camera_p: Floats
    disagree: Ints


def draw_decisions(
    world: World, cart: Cart, hours: Hours, pools: Pools, rng: np.random.Generator
) -> Decisions:
    """Draw all item events of a cart's past."""
    n = int(hours.events.sum())
    hour = np.repeat(np.arange(len(hours)), hours.events)
    at_ms = _times(hours, hour, rng)
    item, quantity, adds = _movements(world, cart, n, rng)
    verdicts = _worsened(_measured(hours, hour, pools, rng), hours.present[hour], rng)
    said, said_quantity = _answers(item, quantity, adds, verdicts, rng)
    top_item, top_p = _alternatives(said, verdicts, rng)
    change_g = _changes(item, quantity, adds, rng)
    asked = verdicts.posterior < ACCEPT_POSTERIOR
    wrong = (said != item) | (said_quantity != quantity)
    return Decisions(
        hour=hour,
        at_ms=at_ms,
        trip=np.arange(n) // TRIP_EVENTS,
        item=item,
        quantity=quantity,
        adds=adds,
        said=said,
        said_quantity=said_quantity,
        posterior=verdicts.posterior,
        top_item=top_item,
        top_p=top_p,
        camera_p=verdicts.camera_p,
        disagree=verdicts.disagree,
        change_g=change_g,
        residual_g=np.abs(change_g) - said_quantity * WEIGHTS[said],
        asked=asked,
        decision_ms=_decision_times(hours, hour, rng),
        corrected=wrong & ~asked & (rng.random(n) < CORRECTS_WRONG),
        scanned=asked & (rng.random(n) < SCANS_WHEN_ASKED),
        audited=rng.random(n) < AUDIT_PROBABILITY,
    )


def _times(hours: Hours, hour: Ints, rng: np.random.Generator) -> Ints:
    length = (hours.end_ms - hours.start_ms)[hour]
    at_ms = hours.start_ms[hour] + (rng.random(len(hour)) * length).astype(np.int64)
    return np.sort(at_ms)


def _movements(world: World, cart: Cart, n: int, rng: np.random.Generator) -> tuple[Ints, Ints, Bools]:
    share = tastes(world.settings.seed, world.store(cart.store_id).index)
    item = rng.choice(len(CATALOGUE), size=n, p=share)
    adds = rng.random(n) >= PUT_BACK / (1 + PUT_BACK)
    if n:
        adds[0] = True
    # What is put back is what was picked before.
    item = np.where(adds, item, np.roll(item, 1))
    quantity = np.where(adds & (rng.random(n) < TWO_AT_ONCE), 2, 1)
    return item.astype(np.int64), quantity.astype(np.int64), adds


def _measured(hours: Hours, hour: Ints, pools: Pools, rng: np.random.Generator) -> _Verdicts:
    """Draw for each event one of the decisions that the real model made in its light."""
    conditions = [*pools.clean, *pools.smeared]
    smear = hours.smear.max(axis=0, initial=0.0)[hour] / SMEAR_LEVEL
    level = np.abs(hours.light[hour][:, None] - np.asarray(LIGHTS)).argmin(axis=1)
    condition = level + len(pools.clean) * (rng.random(len(hour)) < smear)
    sizes = np.asarray([len(pool.right) for pool in conditions])
    first = np.cumsum(sizes) - sizes
    chosen = first[condition] + (rng.random(len(hour)) * sizes[condition]).astype(np.int64)
    whole = _joined(conditions)
    return _Verdicts(
        wrong=~np.asarray(whole.right, bool)[chosen],
        miscounted=np.asarray(whole.miscounted, bool)[chosen],
        posterior=np.asarray(whole.posterior, np.float64)[chosen],
        margin=np.asarray(whole.margin, np.float64)[chosen],
        camera_p=np.asarray(whole.camera_p, np.float64)[chosen],
        disagree=np.asarray(whole.disagree, np.int64)[chosen],
    )


def _joined(pools: list[Pool]) -> Pool:
    return Pool(
        right=[value for pool in pools for value in pool.right],
        miscounted=[value for pool in pools for value in pool.miscounted],
        posterior=[value for pool in pools for value in pool.posterior],
        margin=[value for pool in pools for value in pool.margin],
        camera_p=[value for pool in pools for value in pool.camera_p],
        disagree=[value for pool in pools for value in pool.disagree],
    )


def _worsened(verdicts: _Verdicts, present: Bools, rng: np.random.Generator) -> _Verdicts:
    """Return the verdicts with those before the model's change as its predecessor's."""
    doubt = np.where(present, PRESENT.doubt, BEFORE.doubt)
    misled = rng.random(len(present)) < np.where(present, PRESENT.more_errors, BEFORE.more_errors)
    posterior = np.clip(1 - (1 - verdicts.posterior) * doubt, 0.06, 1.0)
    posterior = np.where(
        misled, np.minimum(posterior, rng.uniform(0.4, SURE_AND_WRONG, len(present))), posterior
    )
    return replace(
        verdicts,
        wrong=verdicts.wrong | misled,
        posterior=np.asarray(np.round(posterior, 4)),
        margin=np.minimum(verdicts.margin, posterior),
    )


def _answers(
    item: Ints, quantity: Ints, adds: Bools, verdicts: _Verdicts, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    miscounts = verdicts.wrong & verdicts.miscounted & adds
    other = verdicts.wrong & ~miscounts & (rng.random(len(item)) < WRONG_OTHER)
    elsewhere = (item + rng.integers(1, len(CATALOGUE), len(item))) % len(CATALOGUE)
    said = np.where(verdicts.wrong & ~miscounts, look_alike()[item], item)
    said = np.where(other, elsewhere, said)
    return said, np.where(miscounts, 3 - quantity, quantity)


def _alternatives(said: Ints, verdicts: _Verdicts, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Return five items: the decision, its look-alike as the second, and three more."""
    n, posterior = len(said), verdicts.posterior
    second = look_alike()[said]
    rest: list[Ints] = []
    for k in range(3):
        candidate = (said + 1 + k * 5 + rng.integers(0, 5, n)) % len(CATALOGUE)
        # Offsets 16 to 18 are in no band: a spare for the one that is the look-alike.
        rest.append(np.where(candidate == second, (said + 16 + k) % len(CATALOGUE), candidate))
    runner_up = np.clip(posterior - verdicts.margin, 0.0, 1 - posterior)
    left = np.clip(1 - posterior - runner_up, 0.0, 1.0)
    shares = np.asarray([0.6, 0.3, 0.1])
    probabilities = np.concatenate([posterior[:, None], runner_up[:, None], left[:, None] * shares], axis=1)
    items: Ints = np.stack([said, second, *rest], axis=1)
    return items, np.asarray(np.round(probabilities, 4), np.float64)


def _changes(item: Ints, quantity: Ints, adds: Bools, rng: np.random.Generator) -> Floats:
    n = len(item)
    spread = np.sqrt(quantity) * WEIGHT_SDS[item]
    weight_g = quantity * WEIGHTS[item] + rng.normal(size=n) * spread
    return np.asarray(np.round(np.where(adds, weight_g, -weight_g) + rng.normal(0, SCALE_SD_G, n), 1))


def _decision_times(hours: Hours, hour: Ints, rng: np.random.Generator) -> Floats:
    median = np.where(hours.present[hour], PRESENT.decision_ms, BEFORE.decision_ms)
    return np.asarray(np.round(median * np.exp(rng.normal(0, 0.32, len(hour))), 1))


def profile_of(*, present: bool) -> Profile:
    """Return the profile of a model."""
    return PRESENT if present else BEFORE
