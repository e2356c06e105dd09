"""The item events of one cart's past and what people said about them, as arrays: one entry per event."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.history.hours import Hours
from demo.history.profiles import BEFORE, PRESENT, Profile, darkness, error_rate, look_alike
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
# Of wrong decisions: a wrong count, and something else altogether; the rest is the look-alike.
WRONG_COUNT = 0.12
WRONG_OTHER = 0.15
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


def draw_decisions(world: World, cart: Cart, hours: Hours, rng: np.random.Generator) -> Decisions:
    """Draw all item events of a cart's past."""
    n = int(hours.events.sum())
    hour = np.repeat(np.arange(len(hours)), hours.events)
    at_ms = _times(hours, hour, rng)
    item, quantity, adds = _movements(world, cart, n, rng)
    wrong = rng.random(n) < _by_model(hours, hour, item)
    said, said_quantity = _answers(item, quantity, adds, wrong, rng)
    posterior = _posteriors(hours, hour, wrong, rng)
    top_item, top_p = _alternatives(said, posterior, rng)
    camera_p, disagree = _cameras(hours, hour, posterior, rng)
    change_g = _changes(item, quantity, adds, rng)
    asked = posterior < ACCEPT_POSTERIOR
    return Decisions(
        hour=hour,
        at_ms=at_ms,
        trip=np.arange(n) // TRIP_EVENTS,
        item=item,
        quantity=quantity,
        adds=adds,
        said=said,
        said_quantity=said_quantity,
        posterior=posterior,
        top_item=top_item,
        top_p=top_p,
        camera_p=camera_p,
        disagree=disagree,
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


def _by_model(hours: Hours, hour: Ints, item: Ints) -> Floats:
    light, smear = hours.light[hour], hours.smear.max(axis=0, initial=0.0)[hour]
    rates = [error_rate(profile, item, light, smear) for profile in (PRESENT, BEFORE)]
    return np.where(hours.present[hour], *rates)


def _answers(
    item: Ints, quantity: Ints, adds: Bools, wrong: Bools, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    kind = rng.random(len(item))
    miscounts = wrong & adds & (kind < WRONG_COUNT)
    other = wrong & ~miscounts & (kind > 1 - WRONG_OTHER)
    elsewhere = (item + rng.integers(1, len(CATALOGUE), len(item))) % len(CATALOGUE)
    said = np.where(wrong & ~miscounts, look_alike()[item], item)
    said = np.where(other, elsewhere, said)
    return said, np.where(miscounts, 3 - quantity, quantity)


def _posteriors(hours: Hours, hour: Ints, wrong: Bools, rng: np.random.Generator) -> Floats:
    """Right decisions are surer than wrong ones; less light makes both less sure."""
    n = len(hour)
    sure = np.where(hours.present[hour], PRESENT.sure, BEFORE.sure)
    doubt = 1 - sure + 0.5 * darkness(hours.light[hour]) + 0.05 * hours.smear.max(axis=0, initial=0.0)[hour]
    mean = np.clip(1 - np.where(wrong, 0.22 + doubt, doubt), 0.3, 0.995)
    # Beta with this mean and a fixed strength: most mass close to 1, a tail of doubt.
    strength = np.where(wrong, 6.0, 9.0)
    p = rng.beta(mean * strength, (1 - mean) * strength, n)
    return np.asarray(np.round(np.clip(p, 0.06, 0.9999), 4))


def _alternatives(said: Ints, posterior: Floats, rng: np.random.Generator) -> tuple[Ints, Floats]:
    n = len(said)
    step = rng.integers(1, len(CATALOGUE) - 4, n)
    rest = [(said + step + k) % len(CATALOGUE) for k in range(3)]
    second = look_alike()[said]
    items: Ints = np.stack([said, second, *rest], axis=1)
    shares = np.asarray([0.72, 0.16, 0.08, 0.04])
    left = np.minimum(1 - posterior, posterior * 0.95)
    probabilities = np.concatenate([posterior[:, None], left[:, None] * shares], axis=1)
    return items, np.asarray(np.round(probabilities, 4), np.float64)


def _cameras(hours: Hours, hour: Ints, posterior: Floats, rng: np.random.Generator) -> tuple[Floats, Ints]:
    clear = 1 - 0.6 * hours.smear[:, hour].T - 0.5 * darkness(hours.light[hour])[:, None]
    mean = np.clip(posterior[:, None] * 0.93 * clear, 0.05, 0.98)
    camera_p = np.round(rng.beta(mean * 7, (1 - mean) * 7), 3)
    return camera_p, (camera_p < 0.35).sum(axis=1).astype(np.int64)


def _changes(item: Ints, quantity: Ints, adds: Bools, rng: np.random.Generator) -> Floats:
    n = len(item)
    spread = np.sqrt(quantity) * WEIGHT_SDS[item]
    weight_g = quantity * WEIGHTS[item] + rng.normal(size=n) * spread
    return np.asarray(np.round(np.where(adds, weight_g, -weight_g) + rng.normal(0, SCALE_SD_G, n), 1))


def _decision_times(hours: Hours, hour: Ints, rng: np.random.Generator) -> Floats:
    median = np.where(hours.present[hour], PRESENT.decision_ms, BEFORE.decision_ms)
    return np.asarray(np.round(median * np.exp(rng.normal(0, 0.16, len(hour))), 1))


def profile_of(*, present: bool) -> Profile:
    """Return the profile of a model."""
    return PRESENT if present else BEFORE
