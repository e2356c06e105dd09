"""Tables that say what the numbers mean, written from the contract."""

from fleet_protocol.signals import SIGNALS, Signal
from queries.dimensions import SignalBin


def signal_bins() -> list[SignalBin]:
    """Return the rows of `signal_bins`: one per bin of every drift signal."""
    return [_row(signal, bin_ix) for signal in SIGNALS.values() for bin_ix in range(signal.bins)]


def bin_label(lower: float | None, upper: float | None) -> str:
    """Return what stands below a bin on screen."""
    if lower is None:
        return "all" if upper is None else f"< {upper:g}"
    return f"≥ {lower:g}" if upper is None else f"{lower:g} to {upper:g}"


def _row(signal: Signal, bin_ix: int) -> SignalBin:
    lower, upper = signal.bounds(bin_ix)
    return SignalBin(signal.name, bin_ix, lower, upper, bin_label(lower, upper), signal.unit)
