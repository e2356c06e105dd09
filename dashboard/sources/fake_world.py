"""Numbers for the in-memory warehouse: plausible, deterministic, and SIMULATED.

Every number is a function of its place and time through an integer hash, so that any two questions
about the same hour agree. Store 2's lamp dims, store 3's second cart has a smeared front camera.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STORES: tuple[tuple[str, str, str, str, float, float], ...] = (
    # id, name, city, zone, share right, engine ms
    ("s001", "Annecy Vieille Ville", "Annecy", "Europe/Paris", 0.971, 21.0),
    ("s002", "Gent Dampoort", "Gent", "Europe/Brussels", 0.952, 22.5),
    ("s003", "Lisboa Alvalade", "Lisboa", "Europe/Lisbon", 0.966, 24.0),
    ("s004", "Rennes Sainte-Anne", "Rennes", "Europe/Paris", 0.977, 20.5),
)
ITEMS: tuple[tuple[str, str], ...] = (
    ("apple-gala", "Apple Gala"),
    ("banana-bunch", "Bananas, bunch of four"),
    ("cucumber", "Cucumber"),
    ("cola-classic", "Cola Classic 0.5 l"),
    ("cola-zero", "Cola Zero 0.5 l"),
    ("milk-whole", "Whole milk 1 l"),
    ("beans-can", "Baked beans, tin"),
    ("jam-strawberry", "Strawberry jam"),
    ("pasta-penne", "Penne 500 g"),
    ("eggs-ten", "Ten eggs"),
)
CARTS_PER_STORE = 6
CAMERAS = ("front", "left", "right")
OLD_MODEL = "5d0c1e7a94b2f6308c"
NEW_MODEL = "a31f09c7e2d84b5516"
NEW_MODEL_AGE = timedelta(days=9)
STAGES: dict[str, float] = {
    # median share of the engine's time
    "capture": 0.30, "queue": 0.12, "preprocess": 0.16, "infer": 1.0, "decode": 0.07, "fuse": 0.05,
    "camera_to_decision": 6.4,
}  # fmt: skip
LAMP_AGE = timedelta(days=5)
SMEAR_AGE = timedelta(days=3)


def uniform(*parts: Ints | int) -> Floats:
    """Return numbers in 0..1 that depend on nothing but the parts (splitmix64)."""
    state = np.zeros(1, dtype=np.uint64)
    for part in parts:
        with np.errstate(over="ignore"):
            state = (state + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)).astype(
                np.uint64
            )
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state, dtype=np.float64) / 2.0**64


def cart_ids(store_ix: int) -> list[str]:
    """Return the carts of a store."""
    return [f"{STORES[store_ix][0]}-c{n + 1:02d}" for n in range(CARTS_PER_STORE)]


@dataclass(frozen=True, slots=True)
class FakeWorld:
    """The simulated fleet at one moment."""

    now: datetime

    def progress(self, at: Ints, age: timedelta) -> Floats:
        """Return how far a fault that began `age` ago has come at each time: 0 to 1."""
        begun_s = (self.now - age).timestamp()
        return np.clip((at - begun_s) / age.total_seconds(), 0.0, 1.0)

    def cells(self, start: datetime, end: datetime, cell: timedelta) -> pd.DataFrame:
        """Return counts per cart and cell.

        Columns: at_s, store_ix, cart_ix, store_id, cart_id, model_digest, item_events, contradicted,
        labelled, asked, frames, dropped.
        """
        width_s = int(cell.total_seconds())
        first, last = int(start.timestamp()) // width_s, -(-int(end.timestamp()) // width_s)
        ticks = np.arange(first, last, dtype=np.int64) * width_s
        at_s, store_ix, cart_ix = (
            a.ravel()
            for a in np.meshgrid(ticks, np.arange(len(STORES)), np.arange(CARTS_PER_STORE), indexing="ij")
        )
        hour = (at_s / 3600.0 + 1.0) % 24.0
        busy = 0.25 + 0.9 * np.exp(-(((hour - 12) / 2.5) ** 2)) + 1.2 * np.exp(-(((hour - 18) / 2.2) ** 2))
        expected = 11.0 * width_s / 3600.0 * busy
        n = np.floor(
            expected * (0.7 + 0.6 * uniform(at_s, store_ix, cart_ix, 1)) + uniform(at_s, store_ix, cart_ix, 2)
        )
        right = self._share_right(at_s, store_ix, cart_ix)
        wrong = np.floor(n * (1 - right) + uniform(at_s, store_ix, cart_ix, 3))
        asked = np.floor(n * (0.045 + 1.3 * (0.98 - right)) + uniform(at_s, store_ix, cart_ix, 4))
        frames = np.floor(width_s * 6.0 * 3 * (0.9 + 0.1 * uniform(at_s, store_ix, cart_ix, 5)))
        old = at_s < (self.now - NEW_MODEL_AGE).timestamp()
        return pd.DataFrame(
            {
                "at_s": at_s, "store_ix": store_ix, "cart_ix": cart_ix,
                "store_id": np.array([s[0] for s in STORES])[store_ix],
                "cart_id": np.array([cart_ids(i) for i in range(len(STORES))])[store_ix, cart_ix],
                "model_digest": np.where(old, OLD_MODEL, NEW_MODEL),
                "item_events": n.astype(int), "contradicted": np.minimum(wrong, n).astype(int),
                "labelled": np.minimum(np.floor(n * 0.12) + wrong, n).astype(int),
                "asked": np.minimum(asked, n).astype(int),
                "frames": frames.astype(int), "dropped": np.floor(frames * 0.004).astype(int),
            }
        )  # fmt: skip

    def _share_right(self, at_s: Ints, store_ix: Ints, cart_ix: Ints) -> Floats:
        share = np.array([s[4] for s in STORES])[store_ix]
        share = share - 0.045 * self.progress(at_s, LAMP_AGE) * (store_ix == 1)
        smeared = (store_ix == 2) & (cart_ix == 1)
        share = share - 0.09 * np.minimum(1.0, 8 * self.progress(at_s, SMEAR_AGE)) * smeared
        old = at_s < (self.now - NEW_MODEL_AGE).timestamp()
        return np.asarray(share - 0.006 * old, dtype=np.float64)


def latency_buckets(store_ix: int, stage: str, model: str, n: int, load: float = 1.0) -> tuple[Ints, Ints]:
    """Return (buckets, counts) of a long-tailed latency; `load` stretches it."""
    median = STAGES[stage] * STORES[store_ix][5] * load * (1.15 if model == OLD_MODEL else 1.0)
    buckets = np.arange(int(np.floor(32 * np.log2(median / 3))), int(np.ceil(32 * np.log2(median * 6))))
    z = (np.log(2.0 ** ((buckets + 0.5) / 32)) - np.log(median)) / 0.28
    weight = np.exp(-0.5 * z * z) + 0.02 * np.exp(-0.5 * ((z - 2.6) / 1.0) ** 2)
    counts = np.floor(n * weight / weight.sum() + 0.5).astype(np.int64)
    return buckets[counts > 0].astype(np.int64), counts[counts > 0]


def signal_counts(signal: str, bins: int, centre: float, spread: float, n: int) -> Ints:
    """Return n counts over bins, bell-shaped around a centre bin; class mix is jagged instead."""
    place = np.arange(bins, dtype=np.float64)
    weight = np.exp(-0.5 * ((place - centre) / spread) ** 2) + 1e-4
    if signal == "class":
        weight = 0.3 + uniform(np.arange(bins, dtype=np.int64), 77)
    counts: Ints = np.floor(n * weight / weight.sum() + 0.5).astype(np.int64)
    return counts
