"""A cart's totals as Prometheus text, format 0.0.4.

Source: Prometheus documentation, "Exposition formats" and "Metric and label naming" (base units). The
cart counts in buckets of 2^(1/32); Prometheus gets every 32nd edge, which are powers of two of a
millisecond, so its cumulative buckets are exact.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from fleet_agent.telemetry import Totals
from fleet_protocol.histogram import BUCKETS_PER_DOUBLING, ExponentialHistogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "cartwright_"
STAGES = PREFIX + "stage_duration_seconds"
# Powers of two of a millisecond that are bucket edges: 1/16 ms to 33 s. Each is a line per stage.
EDGES = range(-4, 16)
# Our suffixes of units, and what Prometheus calls them: name and factor.
UNITS = (("_ms", "_seconds", 1e-3), ("_percent", "_ratio", 1e-2), ("_c", "_celsius", 1.0),
         ("_g", "_grams", 1.0), ("_s", "_seconds", 1.0))  # fmt: skip
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


def expose(totals: Totals, labels: Mapping[str, str]) -> str:
    """Return the page of `/metrics`.

    Args:
        totals: What the cart counted.
        labels: On every sample, such as the cart's name.
    """
    fixed = tuple(sorted(labels.items()))
    lines: list[str] = []
    lines += _stages(totals, fixed)
    for name, samples in _families(totals.counters.items(), fixed):
        metric = f"{PREFIX}{_clean(name).removesuffix('_total')}_total"
        lines += _family(metric, "counter", f"Count of {name} since the agent's start.", samples)
    for name, samples in _families(totals.gauges.items(), fixed):
        metric, factor = _in_base_units(_clean(name))
        scaled = [(own, value * factor) for own, value in samples]
        lines += _family(PREFIX + metric, "gauge", f"Latest {name} of the cart.", scaled)
    return "\n".join(lines) + "\n"


def _families(values: Iterable[tuple[str, float]], fixed: Labels) -> Iterator[tuple[str, list[Sample]]]:
    """Group `name` and `name/camera` by name, in order of names."""
    families: dict[str, list[Sample]] = {}
    for key, value in sorted(values):
        name, _, camera = key.partition("/")
        own = (*fixed, ("camera", camera)) if camera else fixed
        families.setdefault(name, []).append((own, float(value)))
    yield from sorted(families.items())


def _family(metric: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {metric} {escape_help(text)}"
    yield f"# TYPE {metric} {kind}"
    for labels, value in samples:
        yield f"{metric}{_labels(labels)} {number(value)}"


def _stages(totals: Totals, fixed: Labels) -> Iterator[str]:
    if not totals.stages:
        return
    yield f"# HELP {STAGES} {escape_help('Time that each stage took.')}"
    yield f"# TYPE {STAGES} histogram"
    for stage, histogram in sorted(totals.stages.items()):
        labels = (*fixed, ("stage", stage))
        for edge_s, n in cumulative(histogram):
            yield f"{STAGES}_bucket{_labels((*labels, ('le', number(edge_s))))} {n}"
        yield f"{STAGES}_sum{_labels(labels)} {number(totals.sums_ms.get(stage, 0.0) / 1000.0)}"
        yield f"{STAGES}_count{_labels(labels)} {histogram.count}"


def cumulative(histogram: ExponentialHistogram) -> list[tuple[float, int]]:
    """Return (upper edge in seconds, values up to it) for the edges shown, infinity last."""
    counts = histogram.counts()
    found: list[tuple[float, int]] = []
    for power in EDGES:
        below = sum(n for bucket, n in counts.items() if bucket < power * BUCKETS_PER_DOUBLING)
        found.append((2.0**power / 1000.0, below))
    return [*found, (math.inf, histogram.count)]


def _in_base_units(name: str) -> tuple[str, float]:
    for suffix, unit, factor in UNITS:
        if name.endswith(suffix):
            return name.removesuffix(suffix) + unit, factor
    return name, 1.0


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{escape_label(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def escape_label(value: str) -> str:
    """Escape a label's value."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def escape_help(text: str) -> str:
    """Escape a help line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def number(value: float) -> str:
    """Write a number as Prometheus reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _clean(name: str) -> str:
    return _NOT_A_NAME.sub("_", name)
