"""Drift signals of the in-memory warehouse: counts over the wire contract's bins. SIMULATED."""

from datetime import datetime

import numpy as np
import pandas as pd

from dashboard.sources import fake_world as world
from dashboard.sources.protocol import Scope

# signal: (unit, first inner edge, step, inner edges, per camera, centre bin, spread in bins)
SIGNALS: dict[str, tuple[str, float, float, int, bool, float, float]] = {
    "brightness": ("of 255", 12.0, 12.0, 20, True, 11.0, 1.7),
    "blur": ("", 0.0, 0.5, 29, True, 19.0, 2.2),
    "confidence": ("", 0.05, 0.05, 19, False, 17.5, 2.2),
    "margin": ("", 0.05, 0.05, 19, False, 15.5, 3.0),
    "class": ("", 1.0, 1.0, 9, False, 5.0, 3.0),
    "weight_residual": ("g", -100.0, 10.0, 21, False, 10.6, 1.3),
    "camera_disagreement": ("cameras", 1.0, 1.0, 8, False, 0.2, 0.7),
}
# Images counted per camera and day; a signal per decision is rarer.
_PER_DAY = {True: 900, False: 120}


def signal_bin_rows() -> pd.DataFrame:
    """Return the table `signal_bins`."""
    rows = []
    for name, (unit, first, step, edges, *_) in SIGNALS.items():
        inner = [round(first + i * step, 6) for i in range(edges)]
        for i in range(edges + 1):
            lower, upper = (inner[i - 1] if i else None), (inner[i] if i < edges else None)
            rows.append((name, i, lower, upper, _label(lower, upper), unit))
    return pd.DataFrame(rows, columns=["signal", "bin", "lower", "upper", "label", "unit"])


def _label(lower: float | None, upper: float | None) -> str:
    if lower is None:
        return f"< {upper:g}"
    return f"\N{GREATER-THAN OR EQUAL TO} {lower:g}" if upper is None else f"{lower:g} to {upper:g}"


def cart_signal_rows(
    fleet: world.FakeWorld, start: datetime, end: datetime, scope: Scope, only: str | None = None
) -> pd.DataFrame:
    """Return counts of a stretch of time: store_id, cart_id, signal, camera, bin, n."""
    rows: list[tuple[str, str, str, str, int, int]] = []
    middle_s = np.array([int((start.timestamp() + end.timestamp()) / 2)])
    for store_ix, store in enumerate(world.STORES):
        if scope.store_id not in (None, store[0]):
            continue
        lamp = float(fleet.progress(middle_s, world.LAMP_AGE)[0]) if store_ix == 1 else 0.0
        for cart_ix, cart_id in enumerate(world.cart_ids(store_ix)):
            smear = (
                float(fleet.progress(middle_s, world.SMEAR_AGE)[0]) if (store_ix, cart_ix) == (2, 1) else 0.0
            )
            for name in [only] if only else list(SIGNALS):
                for camera_ix, camera in enumerate(world.CAMERAS if SIGNALS[name][4] else ("",)):
                    seed = float(world.uniform(int(middle_s[0]), store_ix, cart_ix, camera_ix)[0]) - 0.5
                    smeared = min(1.0, 6 * smear) if camera_ix == 0 else 0.0
                    shift = 0.5 * seed + _shift(name, lamp, smeared)
                    counts = _counts(name, shift, (end - start).total_seconds() / 86_400)
                    rows += [(store[0], cart_id, name, camera, i, int(n)) for i, n in enumerate(counts) if n]
    return pd.DataFrame(rows, columns=["store_id", "cart_id", "signal", "camera", "bin", "n"])


def _counts(name: str, shift: float, days: float) -> world.Ints:
    _, _, _, edges, per_camera, centre, spread = SIGNALS[name]
    return world.signal_counts(name, edges + 1, centre + shift, spread, round(_PER_DAY[per_camera] * days))


def _shift(signal: str, lamp: float, smeared: float) -> float:
    """Return by how many bins the faults move a signal."""
    return {
        "brightness": -4.5 * lamp,
        "blur": -9.0 * smeared - 0.8 * lamp,
        "confidence": -2.2 * lamp - 1.5 * smeared,
        "margin": -2.0 * lamp - 2.5 * smeared,
        "camera_disagreement": 0.5 * lamp + 1.2 * smeared,
    }.get(signal, 0.0)
