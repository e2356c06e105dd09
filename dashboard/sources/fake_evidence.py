"""Evidence of gates for the in-memory control API: SIMULATED e-values, seeded by the rollout's id."""

import zlib
from datetime import datetime, timedelta

import numpy as np

from dashboard.sources.control import Evidence, GateEvidence, RolloutView

# Three gates share an alpha of 0.05.
_ALPHA = 0.05 / 3
_THRESHOLD = 60.0
_POINTS = 48
_SHARES = {
    # hits of canary and of control, in a thousand; growth of the logarithm per point when it fails
    "accuracy": (0.968, 0.969, 0.874),
    "errors": (0.0031, 0.0030, 0.0098),
    "latency": (0.012, 0.010, 0.034),
}
_QUERIES = {"accuracy": "gate_accuracy", "errors": "gate_errors", "latency": "gate_latency"}
_NOTES = {
    "no_data": "No label has arrived since 6 h: nothing can be said about accuracy.",
    "replay": "The gates were run on yesterday's events of these carts, half against half: none fired.",
    "sample_ratio": "24 of 240 carts send 9.8 % of the events; 10.0 % were expected.",
}


def evidence_of(rollout: RolloutView, now: datetime) -> Evidence:
    """Return what the gates of a rollout know; nothing before it has begun."""
    if rollout.current_stage is None:
        return Evidence(())
    rng = np.random.default_rng(zlib.crc32(rollout.id.encode()))
    verdicts = {v.gate: v.verdict for v in rollout.verdicts}
    until = now - timedelta(seconds=75) if rollout.status == "running" else rollout.changed_at
    gates = [_gate(name, verdicts.get(name), until, rng) for name in _SHARES]
    gates.append(_promotion(verdicts.get("promotion"), until))
    gates += [
        GateEvidence(
            name, verdict=verdicts.get(name), alpha=0.001, note=_NOTES[name], watermark_at=until,
            query="gate_shares" if name == "sample_ratio" else "gate_accuracy",
        )
        for name in ("sample_ratio", "replay")
    ]  # fmt: skip
    return Evidence(tuple(gates))


def _gate(name: str, verdict: str | None, until: datetime, rng: np.random.Generator) -> GateEvidence:
    mode, query = "shadow" if name == "latency" else "enforce", _QUERIES[name]
    if verdict == "no_data":
        return GateEvidence(
            name, mode, verdict, _ALPHA, 1.0, _THRESHOLD, canary=(0, 0), control=(0, 0), query=query,
            watermark_at=until, note=_NOTES["no_data"],
        )  # fmt: skip
    failing = verdict in ("fail", "shadow")
    fine, control, harmed = _SHARES[name]
    drift = 0.105 if failing else -0.012
    walk = np.cumsum(rng.normal(drift, 0.16, _POINTS))
    if failing:
        walk += max(0.0, float(np.log(_THRESHOLD) + 0.25 - walk[-1])) * np.linspace(0, 1, _POINTS) ** 1.5
    values = np.exp(np.clip(walk, -4.0, 7.0))
    of = 4_120 if failing else 2_630
    times = [until - timedelta(minutes=_POINTS - 1 - i) for i in range(_POINTS)]
    share = harmed if failing else fine
    half = 0.021 if failing else 0.017
    return GateEvidence(
        gate=name,
        mode=mode,
        verdict=verdict,
        alpha=_ALPHA,
        e_value=float(values[-1]),
        threshold=_THRESHOLD,
        interval=(share - control - half, share - control + half) if name == "accuracy" else None,
        canary=(round(share * of), of),
        control=(round(control * of * 9), of * 9),
        needed=None if failing else 380.0,
        watermark_at=until,
        query=query,
        history=tuple(zip(times, (float(v) for v in values), strict=True)),
    )


def _promotion(verdict: str | None, until: datetime) -> GateEvidence:
    interval = (-0.009, 0.013) if verdict == "pass" else (-0.031, 0.026)
    return GateEvidence(
        "promotion", verdict=verdict, alpha=0.05, interval=interval if verdict else None,
        pairs=61 if verdict == "pass" else 14 if verdict else 0, watermark_at=until, query="gate_pairs",
    )  # fmt: skip
