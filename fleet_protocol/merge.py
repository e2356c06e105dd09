"""Merging telemetry windows: what a cart does before it drops anything.

Counts, histograms and drift bins add exactly; a gauge keeps the latest window's value.
"""

from collections.abc import Sequence

import msgspec

from fleet_protocol.histogram import ExponentialHistogram
from fleet_protocol.messages import Buckets, Window
from fleet_protocol.signals import add_counts


def merge_windows(windows: Sequence[Window], seq: int) -> Window:
    """Return one window with the counts of all.

    Args:
        windows: At least one, of one cart, boot and model, in order of time.
        seq: The sequence number of the result.

    Raises:
        ValueError: there are none, or they are not of one cart, boot and model.
    """
    if len({(w.cart, w.boot, w.model, w.sim) for w in windows}) != 1:
        msg = "only windows of one cart, boot and model can be merged"
        raise ValueError(msg)
    histograms: dict[str, ExponentialHistogram] = {}
    signals: dict[str, list[int]] = {}
    counters: dict[str, int] = {}
    gauges: dict[str, float] = {}
    for window in windows:
        for name, dense in window.hist.items():
            histograms.setdefault(name, ExponentialHistogram()).merge(
                ExponentialHistogram.from_dense(dense.o, dense.n)
            )
        for name, counts in window.sig.items():
            signals[name] = add_counts(signals.get(name, []), counts)
        for name, n in window.cnt.items():
            counters[name] = counters.get(name, 0) + n
        gauges.update(window.gau)
    return msgspec.structs.replace(
        windows[-1],
        seq=seq,
        t0=min(w.t0 for w in windows),
        t1=max(w.t1 for w in windows),
        merged=sum(w.merged for w in windows),
        hist={name: Buckets(*histogram.to_dense()) for name, histogram in histograms.items()},
        sig=signals,
        cnt=counters,
        gau=gauges,
    )
