"""The Drift page: each signal of a store against the same signal in the store's own past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dashboard.distances import FEW_COUNTS, chance_level, js_distance
from dashboard.formats import UNKNOWN


@dataclass(frozen=True, slots=True)
class SignalText:
    """How a signal is called, and what a change of it may mean."""

    title: str
    meaning: str


# Order on screen: what comes in, then what the model says, then what the scale says.
SIGNALS: dict[str, SignalText] = {
    "brightness": SignalText("Brightness", "light in the store, or a covered lens"),
    "blur": SignalText("Sharpness", "a smeared or loose camera: low is blurred"),
    "confidence": SignalText("Confidence", "the model is less, or more, sure"),
    "margin": SignalText("Margin", "two items look alike to the model"),
    "class": SignalText("Class mix", "other items than usual, or taken for others"),
    "weight_residual": SignalText("Weight residual", "scale or catalogue weights are off"),
    "camera_disagreement": SignalText("Camera disagreement", "one camera sees what the others do not"),
}


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of one signal: a label for each, the unit, and a centre to average over."""

    labels: tuple[str, ...]
    unit: str
    centres: dict[int, float]
    lowers: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """One signal now and in the past, of a store, a cart or a camera.

    Attributes:
        key: Whose: a store's id, or "cart camera".
        signal: Which.
        now: Counts per bin.
        reference: Counts per bin.
        distance: Jensen-Shannon distance, 0..1, or None without counts on both sides.
        chance: The distance chance alone would give independent counts.
        mean_now: Mean in the signal's unit, or None where bins have no centre.
        mean_reference: The same in the past.
    """

    key: str
    signal: str
    now: tuple[int, ...]
    reference: tuple[int, ...]
    distance: float | None
    chance: float | None
    mean_now: float | None
    mean_reference: float | None

    @property
    def n_now(self) -> int:
        """Counts now."""
        return sum(self.now)

    @property
    def n_reference(self) -> int:
        """Counts in the past."""
        return sum(self.reference)

    @property
    def few(self) -> bool:
        """Whether either side has too few counts for the distance to say much."""
        return min(self.n_now, self.n_reference) < FEW_COUNTS


def build_bins(rows: pd.DataFrame, class_names: Mapping[int, str]) -> dict[str, Bins]:
    """Return the bins of each signal; open bins get the width of their neighbour for a centre."""
    found = {}
    for signal, group in rows.sort_values("bin").groupby("signal"):
        lowers, uppers = _bounds(group["lower"].tolist()), _bounds(group["upper"].tolist())
        centres = {} if signal == "class" else _centres(lowers, uppers)
        labels = [str(label) for label in group["label"]]
        if signal == "class":
            labels = [class_names.get(i, f"class {i}") for i in range(len(labels))]
        unit = str(group["unit"].iloc[0] or "")
        found[str(signal)] = Bins(tuple(labels), unit, centres, lowers)
    return found


def _bounds(column: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if v is None or pd.isna(v) else float(v) for v in column)


def _centres(lowers: Sequence[float | None], uppers: Sequence[float | None]) -> dict[int, float]:
    widths = [up - low for low, up in zip(lowers, uppers, strict=True) if low is not None and up is not None]
    width = widths[0] if widths else 1.0
    centres = {i: _centre(low, up, width) for i, (low, up) in enumerate(zip(lowers, uppers, strict=True))}
    return {i: centre for i, centre in centres.items() if centre is not None}


def _centre(low: float | None, up: float | None, width: float) -> float | None:
    if low is None:
        return None if up is None else up - width / 2
    return low + width / 2 if up is None else (low + up) / 2


def build_drifts(rows: pd.DataFrame, keys: Sequence[str], bins: Mapping[str, Bins]) -> tuple[Drift, ...]:
    """Return one drift per key and signal, from now_n and reference_n per bin; largest distance first."""
    if rows.empty:
        return ()
    drifts = [
        _drift(" ".join(str(part) for part in key[:-1]), str(key[-1]), group, bins.get(str(key[-1])))
        for key, group in rows.groupby([*keys, "signal"])
    ]
    return tuple(sorted(drifts, key=lambda d: -1.0 if d.distance is None else d.distance, reverse=True))


def _drift(key: str, signal: str, rows: pd.DataFrame, bins: Bins | None) -> Drift:
    size = max(len(bins.labels) if bins else 0, int(rows["bin"].max()) + 1)
    now, reference = (_dense(rows, column, size) for column in ("now_n", "reference_n"))
    centres = bins.centres if bins else {}
    used = int(((now + reference) > 0).sum())
    return Drift(
        key=key,
        signal=signal,
        now=tuple(int(n) for n in now),
        reference=tuple(int(n) for n in reference),
        distance=js_distance(now.tolist(), reference.tolist()),
        chance=chance_level(used, int(now.sum()), int(reference.sum())),
        mean_now=_mean(now, centres),
        mean_reference=_mean(reference, centres),
    )


def _dense(rows: pd.DataFrame, column: str, size: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(size, dtype=np.int64)
    np.add.at(counts, rows["bin"].to_numpy(dtype=np.int64), rows[column].fillna(0).to_numpy(dtype=np.int64))
    return counts


def _mean(counts: npt.NDArray[np.int64], centres: Mapping[int, float]) -> float | None:
    total = sum(int(counts[i]) for i in centres if i < len(counts))
    if total == 0:
        return None
    return sum(int(counts[i]) * centre for i, centre in centres.items() if i < len(counts)) / total


def shift_text(drift: Drift, bins: Bins | None) -> str:
    """Say where the mean went: "132 → 94 of 255"."""
    if drift.mean_now is None or drift.mean_reference is None:
        return UNKNOWN
    digits = 0 if max(abs(drift.mean_now), abs(drift.mean_reference)) >= 30 else 2
    unit = f" {bins.unit}" if bins and bins.unit else ""
    return f"{drift.mean_reference:.{digits}f} → {drift.mean_now:.{digits}f}{unit}"
