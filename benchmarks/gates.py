"""Gates of a rollout in simulation: false alarms, and how soon harm is found, beside the rules of others.

    python -m benchmarks.gates > gates.json                     # the whole, on all cores: half an hour
    python -m benchmarks.gates --rollouts 50 --looks 500        # a taste of it

- `false_alarms`: healthy rollouts whose base rate swings by two points through the day, looked at after every
  block of 4 canary and 36 control events; share of them that each gate stops at all.
- `harm_found`: rollouts that are worse from the start, at constant rates; median of canary events (of all
  errors, for the rate) until the gate stops, over what a gate would need that knows the harm.
- `late_harm`: rollouts that are healthy for so many canary events and then worse; median of canary events
  from there on until the gate stops.
- `carts_that_differ`: no harm at all, but each cart has a share of its own; pairs and events side by side.

Others' rules are ours after their documentation, on the same streams: `argo` (more than 3 measurements below
95 %), `flagger` (10 checks below 95 %), `kayenta` (Mann-Whitney on the shares of both sides' last hundred
blocks, as in its judge: 98 % interval, tolerance of a quarter), `aws` (20 % of at least 100 failed) and
`hawkbit` (errors over 5 % of the total). They measure every 100 canary events, but for the last two, which
count on.
"""

import argparse
import json
import math
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_control.statistics.sequential import PairedGate, ProportionGate, QuantileGate, RateGate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALPHA = 0.05
CANARY, CONTROL = 4, 36
SHARE = CANARY / (CANARY + CONTROL)
# Looks in a day: the base rate swings once.
DAY = 500
SWING = 0.02
# Latencies are log-normal with this deviation; the threshold is the control's 99th percentile.
LATENCY_SD = 0.35
Z99 = 2.3263478740408408
# Longest search for harm.
MOST_BLOCKS = 4000


@dataclass(frozen=True, slots=True)
class Stream:
    """Good outcomes of both sides, block by block."""

    canary: Ints
    control: Ints

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.canary.tolist(), self.control.tolist(), strict=True)


def shares(rng: np.random.Generator, looks: int, base: float, loss: float, swing: float) -> Stream:
    """Draw outcomes around a base rate that swings through the day."""
    phase = rng.uniform(0.0, 2.0 * np.pi)
    control = np.clip(base + swing * np.sin(2 * np.pi * np.arange(looks) / DAY + phase), 0.0, 0.999)
    canary = np.clip(control - loss, 0.0, 1.0)
    return Stream(rng.binomial(CANARY, canary), rng.binomial(CONTROL, control))


# When each rule stops a stream: its canary events, or None. Ours first.


def proportion(stream: Stream) -> int | None:
    """Our gate, after every block."""
    gate = ProportionGate(ALPHA)
    for canary, control in stream:
        gate.update(canary, CANARY, control, CONTROL)
        if gate.rejected:
            return gate.canary_events
    return None


def peeked_z_test(stream: Stream) -> int | None:
    """A one-sided z-test at the same alpha, looked at after every block."""
    n = np.arange(1, len(stream.canary) + 1)
    a, b = stream.canary.cumsum() / (n * CANARY), stream.control.cumsum() / (n * CONTROL)
    pooled = (stream.canary.cumsum() + stream.control.cumsum()) / (n * (CANARY + CONTROL))
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / (n * CANARY) + 1 / (n * CONTROL)))
    z = np.divide(b - a, deviation, out=np.zeros(len(n)), where=deviation > 0)
    return first_events(z > 1.6448536)


def measurements(stream: Stream) -> Floats:
    """Return the canary's share in every hundred of its events."""
    blocks = 100 // CANARY
    whole = len(stream.canary) // blocks * blocks
    sums: Floats = stream.canary[:whole].reshape(-1, blocks).sum(axis=1) / 100.0
    return sums


def argo(stream: Stream) -> int | None:
    """`failureLimit: 3` with `successCondition: share >= 0.95`: the fourth failed measurement aborts."""
    failed = (measurements(stream) < 0.95).cumsum() > 3
    return int((failed.argmax() + 1) * 100) if failed.any() else None


def flagger(stream: Stream) -> int | None:
    """`threshold: 10` with `thresholdRange.min: 95`: the tenth failed check rolls back."""
    failed = (measurements(stream) < 0.95).cumsum() >= 10
    return int((failed.argmax() + 1) * 100) if failed.any() else None


def aws(stream: Stream) -> int | None:
    """`thresholdPercentage: 20`, `minNumberOfExecutedThings: 100`: each event is a job that failed or not."""
    return cumulative(stream, 0.20, least=100)


def hawkbit(stream: Stream) -> int | None:
    """Error threshold of 5 % of the group, as far as it has come."""
    return cumulative(stream, 0.05, least=CANARY)


def cumulative(stream: Stream, most: float, *, least: int) -> int | None:
    """Stop when more than a share of all canary events so far failed."""
    n = np.arange(1, len(stream.canary) + 1) * CANARY
    return first_events((1.0 - stream.canary.cumsum() / n > most) & (n >= least))


def kayenta(stream: Stream) -> int | None:
    """A Mann-Whitney judge every hundred blocks: 98 % interval of the shift, tolerance of a quarter of it."""
    canary, control = 1.0 - stream.canary / CANARY, 1.0 - stream.control / CONTROL
    for end in range(100, len(canary) + 1, 100):
        if is_high(canary[end - 100 : end], control[end - 100 : end]):
            return end * CANARY
    return None


def is_high(canary: Floats, control: Floats) -> bool:
    """Whether the lower end of the Hodges-Lehmann shift's 98 % interval is above a quarter of its size."""
    shifts = np.sort((canary[:, None] - control[None, :]).ravel())
    m, n = len(canary), len(control)
    middle, spread = m * n / 2, 2.3263479 * math.sqrt(m * n * (m + n + 1) / 12)
    lower = shifts[max(0, math.floor(middle - spread))]
    return bool(lower > 0.25 * abs(np.median(shifts)) and np.median(shifts) != 0.0)


def first_events(stops: NDArray[np.bool_]) -> int | None:
    """Return the canary's events at the first block that stops."""
    return int((stops.argmax() + 1) * CANARY) if stops.any() else None


RULES: dict[str, Callable[[Stream], int | None]] = {
    "e_process": proportion,
    "peeked_z_test": peeked_z_test,
    "argo": argo,
    "flagger": flagger,
    "kayenta": kayenta,
    "aws": aws,
    "hawkbit": hawkbit,
}


def one_share(seed: int, *, looks: int, base: float, loss: float, swing: float) -> dict[str, int | None]:
    """Let all rules watch one rollout."""
    stream = shares(np.random.default_rng(seed), looks, base, loss, swing)
    return {name: rule(stream) for name, rule in RULES.items()}


def one_healthy_rate(seed: int, *, errors: int) -> bool:
    """Whether the rate gate stops a healthy canary whose share of exposure varies; one look an error."""
    rng = np.random.default_rng(seed)
    gate = RateGate(ALPHA)
    exposure = rng.uniform(0.05, 0.15, errors)
    for share, canary in zip(exposure.tolist(), (rng.random(errors) < exposure).tolist(), strict=True):
        gate.update(int(canary), int(not canary), share, 1.0 - share)
        if gate.rejected:
            return True
    return False


def one_harmful_rate(seed: int, *, ratio: float) -> int | None:
    """Return how many errors of both sides the rate gate needs."""
    rng = np.random.default_rng(seed)
    gate = RateGate(ALPHA)
    for canary in rng.random(MOST_BLOCKS) < ratio * SHARE / (ratio * SHARE + 1 - SHARE):
        gate.update(int(canary), int(not canary), SHARE, 1.0 - SHARE)
        if gate.rejected:
            return gate.errors
    return None


def one_latency(seed: int, *, looks: int, factor: float) -> int | None:
    """Return how many inferences of the canary the quantile gate needs; None if it does not stop."""
    rng = np.random.default_rng(seed)
    over = 0.5 * math.erfc((Z99 - math.log(factor) / LATENCY_SD) / math.sqrt(2))
    gate = QuantileGate(ALPHA, 0.99, math.exp(LATENCY_SD * Z99))
    blocks = zip(rng.binomial(CANARY, over, looks), rng.binomial(CONTROL, 0.01, looks), strict=True)
    for canary, control in blocks:
        gate.update(int(canary), CANARY, int(control), CONTROL)
        if gate.rejected:
            return gate.canary_events
    return None


def one_late_harm(seed: int, *, healthy: int, loss: float, margin: float) -> int | None:
    """Return how many canary events the gate needs after the harm began; blocks of 40 and 360 events."""
    rng = np.random.default_rng(seed)
    gate = ProportionGate(ALPHA, margin)
    for lost, blocks in ((0.0, healthy // 40), (loss, MOST_BLOCKS)):
        for _ in range(blocks):
            gate.update(int(rng.binomial(40, 0.97 - lost)), 40, int(rng.binomial(360, 0.97)), 360)
            if gate.rejected:
                return gate.canary_events - healthy
    return None


def one_fleet(seed: int, *, spread: float, loss: float, margin: float) -> dict[str, bool]:
    """Thirty canaries and their matches, which differ of themselves, and 240 carts; 3,000 events each."""
    rng = np.random.default_rng(seed)
    rates = np.clip(0.96 + rng.normal(0.0, spread, (30, 2)), 0.0, 1.0)
    others = np.clip(0.96 + rng.normal(0.0, spread, 240), 0.0, 1.0)
    canaries, matches = np.clip(rates[:, 0] - loss, 0.0, 1.0), rates[:, 1]
    good, beside = rng.binomial(30, canaries, (100, 30)), rng.binomial(30, matches, (100, 30))
    rest = rng.binomial(30, others, (100, 240))
    events, pairs = ProportionGate(ALPHA, margin), PairedGate(ALPHA, margin)
    for block in range(100):
        control = int(beside[block].sum() + rest[block].sum())
        events.update(int(good[block].sum()), 900, control, 8100)
    pairs.update((good.sum(axis=0) - beside.sum(axis=0)) / 3000)
    return {"events_stop": events.rejected, "pairs_stop": pairs.rejected, "pairs_promote": pairs.passed}


def limit(canary: float, control: float) -> float:
    """Return the canary events that are needed by who knows the harm: ln(1 / alpha) over the growth rate."""
    both = SHARE * canary + (1 - SHARE) * control

    def divergence(p: float) -> float:
        return p * math.log(p / both) + (1 - p) * math.log((1 - p) / (1 - both))

    return SHARE * math.log(1 / ALPHA) / (SHARE * divergence(canary) + (1 - SHARE) * divergence(control))


def share_of(stopped: list[Any]) -> float:
    """Return the share of rollouts that were stopped."""
    return round(sum(bool(one) for one in stopped) / len(stopped), 4)


def median_of(needed: list[int | None]) -> float | None:
    """Return the median; None where fewer than half stopped."""
    median = float(np.median([math.inf if one is None else one for one in needed]))
    return median if math.isfinite(median) else None


class Simulation:
    """Rollouts on all cores, each with a seed of its own."""

    def __init__(self, pool: ProcessPoolExecutor, rollouts: int, looks: int, seed: int) -> None:
        self._pool = pool
        self._seeds = range(seed, seed + rollouts)
        self._looks = looks

    def run(self, one: Callable[..., Any], **settings: Any) -> list[Any]:
        """Run one rollout for each seed."""
        return list(self._pool.map(partial(one, **settings), self._seeds, chunksize=8))

    def false_alarms(self) -> dict[str, float]:
        """Healthy rollouts."""
        watched = self.run(one_share, looks=self._looks, base=0.97, loss=0.0, swing=SWING)
        found = {name: share_of([one[name] for one in watched]) for name in RULES}
        found["rate"] = share_of(self.run(one_healthy_rate, errors=self._looks))
        found["p99"] = share_of(self.run(one_latency, looks=self._looks, factor=1.0))
        return found

    def harm_found(self) -> list[dict[str, Any]]:
        """Harmful ones."""
        found: list[dict[str, Any]] = []
        for base, loss in ((0.97, 0.02), (0.92, 0.05), (0.97, 0.01), (0.97, 0.05)):
            watched = self.run(one_share, looks=MOST_BLOCKS, base=base, loss=loss, swing=0.0)
            medians = {name: median_of([one[name] for one in watched]) for name in RULES}
            known = limit(base - loss, base)
            ours = medians["e_process"]
            ratio = None if ours is None else round(ours / known, 3)
            found.append(
                {"share": base, "loss": loss, "known": round(known), "ratio": ratio, "canary_events": medians}
            )
        found += [
            {"error_rate_times": ratio, "errors": median_of(self.run(one_harmful_rate, ratio=ratio))}
            for ratio in (1.5, 2.0, 3.0, 5.0)
        ]
        for factor in (1.05, 1.1, 1.2, 1.3):
            needed = self.run(one_latency, looks=MOST_BLOCKS, factor=factor)
            found.append({"p99_times": factor, "canary_inferences": median_of(needed)})
        return found

    def late_harm(self) -> list[dict[str, Any]]:
        """Rollouts that turn bad; a tenth of them, as each takes thousands of looks."""
        found = []
        for loss, margin in ((0.02, 0.0), (0.05, 0.01), (0.05, 0.02)):
            for healthy in (0, 4_000, 40_000):
                few = self._seeds[: max(1, len(self._seeds) // 10)]
                one = partial(one_late_harm, healthy=healthy, loss=loss, margin=margin)
                # Those that stopped while they were healthy are false alarms, and counted as such elsewhere.
                needed = [n for n in self._pool.map(one, few) if n is None or n > 0]
                case: dict[str, Any] = {"loss": loss, "margin": margin, "healthy_canary_events": healthy}
                found.append(case | {"canary_events": median_of(needed)})
        return found

    def carts_that_differ(self) -> list[dict[str, float]]:
        """No harm, a loss of the margin, and one beyond it, in fleets of unlike carts."""
        found = []
        for spread in (0.0, 0.005, 0.01, 0.02):
            for loss, margin in ((0.0, 0.0), (0.0, 0.02), (0.02, 0.02), (0.04, 0.02)):
                fleets = self.run(one_fleet, spread=spread, loss=loss, margin=margin)
                shares_of = {name: share_of([one[name] for one in fleets]) for name in fleets[0]}
                found.append({"spread": spread, "loss": loss, "margin": margin} | shares_of)
        return found


def main() -> None:
    """Simulate and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--looks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        simulation = Simulation(pool, options.rollouts, options.looks, options.seed)
        results = {
            "false_alarms": simulation.false_alarms(),
            "harm_found": simulation.harm_found(),
            "late_harm": simulation.late_harm(),
            "carts_that_differ": simulation.carts_that_differ(),
        }
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__}
    settings = {"rollouts": options.rollouts, "looks": options.looks, "seed": options.seed, "alpha": ALPHA}
    print(json.dumps({"machine": machine, "settings": settings, "results": results}, indent=2))


if __name__ == "__main__":
    main()
