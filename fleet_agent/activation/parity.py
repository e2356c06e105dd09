"""The parity gate: an engine goes live only if it sees the golden frames as the reference does.

Three parties are compared. The manifest holds what the network saw when it was trained; the reference
runs the FP32 file on the CPU with ONNX Runtime; the candidate is the engine that shall go live. The
reference is held to the recording, so that a damaged model is refused although both engines agree, and
the candidate to the reference, so that a wrong plan is. `judge` is a function of values; `check` runs.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleet_agent.activation.golden import Golden
from fleet_agent.activation.matching import FrameMatch, Sighting, match, overlaps, sightings
from fleet_agent.activation.observing import Observation, TimedRuns, observe
from fleet_agent.manifest import ModelManifest, ParityLimits
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import Clock

# The manifest's latency budget is for a batch of this many frames.
BUDGET_FRAMES = 4
# Reasons are read by people and sent over MQTT: the first few say enough.
MAX_REASONS = 12


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far one party agrees with another over all golden frames.

    Attributes:
        required: Detections that had to be found again.
        matched: Pairs found, those below the score floor on one side included.
        unmatched: Required detections that were lost.
        extra: Detections that were invented.
        swapped: Of both: as many are at the same place and only of another class.
        worst_score_difference: Of matched pairs; 0 without any.
        worst_overlap: Least intersection over union of matched pairs; 1 without any.
    """

    required: int
    matched: int
    unmatched: int
    extra: int
    swapped: int
    worst_score_difference: float
    worst_overlap: float


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What the gate measured; plain values, ready to be sent.

    Attributes:
        model: Digest of the model on the wire.
        precision: Of the candidate.
        candidate: The engine that was to go live.
        reference: The engine it was held to.
        frames: Golden frames.
        to_recording: The reference against what was recorded at training.
        to_reference: The candidate against the reference.
        nan_count: Values in the candidate's raw outputs that are not finite.
        reference_nan_count: The same of the reference.
        median_ms: Of the candidate's timed runs, one full batch each; None: none were asked for.
        budget_ms: Longest median allowed; None: no limit.
        runs: Timed runs.
        reference_passed: Whether the reference agrees with the recording: if not, the model is damaged; if
            so, a candidate that is refused is the fault of its plan or its artifact.
        passed: Whether it may go live.
        reasons: Why not, each one sentence; at most 12.
    """

    model: str
    precision: str
    candidate: str
    reference: str
    frames: int
    to_recording: Agreement
    to_reference: Agreement
    nan_count: int
    reference_nan_count: int
    median_ms: float | None
    budget_ms: float | None
    runs: int
    reference_passed: bool
    passed: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "refused: " + " ".join(self.reasons)
        return f"parity of {self.candidate} on {self.frames} golden frames {verdict}"


def check(
    candidate: PerceptionEngine,
    reference: PerceptionEngine,
    manifest: ModelManifest,
    golden: Sequence[Golden],
    limits: ParityLimits,
    *,
    budget_ms: float | None,
    clock: Clock,
    runs: int,
) -> ParityReport:
    """Run both engines on the golden frames and judge.

    Args:
        candidate: Of the artifact that shall go live; this thread owns it for now.
        reference: Of the FP32 artifact.
        manifest: Of the model.
        golden: Of `load_golden`.
        limits: What the candidate's artifact allows.
        budget_ms: Longest median time of one full batch; None: no limit.
        clock: By which runs are timed.
        runs: Timed runs after the warm-up; 0 times nothing.

    Raises:
        EngineError: an engine cannot run, or its outputs are not what the decoder wants.
    """
    truth = observe(reference, manifest, golden, clock=clock, runs=0)
    seen = observe(candidate, manifest, golden, clock=clock, runs=runs)
    return judge(manifest, golden, truth, seen, limits, budget_ms=budget_ms)


def judge(
    manifest: ModelManifest,
    golden: Sequence[Golden],
    truth: Observation,
    seen: Observation,
    limits: ParityLimits,
    *,
    budget_ms: float | None,
) -> ParityReport:
    """Compare what was seen; see `check`."""
    own_limits = manifest.artifacts["fp32"].parity
    recorded = {frame.name: sightings(frame.expected) for frame in golden}
    to_recording = [(f.name, match(recorded[f.name], f.sightings, own_limits)) for f in truth.frames]
    of_reference = {f.name: f.sightings for f in truth.frames}
    to_reference = [(f.name, match(of_reference[f.name], f.sightings, limits)) for f in seen.frames]
    of_the_model = [
        *_proves_nothing(golden, to_reference),
        *_not_finite("the reference", truth.nan_count),
        *_disagreements("the reference", "the recording of training", to_recording, own_limits, manifest),
    ]
    reasons = [
        *of_the_model,
        *_not_finite("the candidate", seen.nan_count),
        *_disagreements("the candidate", "the reference", to_reference, limits, manifest),
        *_too_slow(seen.timed, budget_ms),
    ]
    return ParityReport(
        model=manifest.digest,
        precision=seen.engine.precision,
        candidate=str(seen.engine),
        reference=str(truth.engine),
        frames=len(golden),
        to_recording=agreement(found for _, found in to_recording),
        to_reference=agreement(found for _, found in to_reference),
        nan_count=seen.nan_count,
        reference_nan_count=truth.nan_count,
        median_ms=_median(seen.timed),
        budget_ms=budget_ms,
        runs=len(seen.timed.times_ms),
        reference_passed=not of_the_model,
        passed=not reasons,
        reasons=tuple(reasons[:MAX_REASONS]),
    )


def against_recording(
    manifest: ModelManifest, golden: Sequence[Golden], seen: Observation, limits: ParityLimits
) -> tuple[str, ...]:
    """Hold one engine to the recording alone: the quick check of every boot.

    It passed the gate in two steps, to the reference and from there to the recording, so both limits add
    up here: a boot refuses nothing that the gate let pass.

    Returns:
        Why it may not serve; empty when it may.
    """
    both = _looser(manifest.artifacts["fp32"].parity, limits)
    recorded = {frame.name: sightings(frame.expected) for frame in golden}
    found = [(f.name, match(recorded[f.name], f.sightings, both)) for f in seen.frames]
    reasons = [
        *_not_finite("the engine", seen.nan_count),
        *_disagreements("the engine", "the recording of training", found, both, manifest),
    ]
    return tuple(reasons[:MAX_REASONS])


def _looser(first: ParityLimits, second: ParityLimits) -> ParityLimits:
    return ParityLimits(
        score_floor=max(first.score_floor, second.score_floor),
        least_overlap=max(0.0, first.least_overlap + second.least_overlap - 1.0),
        max_score_difference=min(1.0, first.max_score_difference + second.max_score_difference),
        max_unmatched=first.max_unmatched + second.max_unmatched,
    )


def budget_for(manifest: ModelManifest, cameras: int, override_ms: float | None) -> float | None:
    """Return the longest median time of a full batch: the manifest's is for four frames, more get more."""
    budget_ms = override_ms if override_ms is not None else manifest.latency_budget_ms
    return None if budget_ms is None else budget_ms * max(1.0, cameras / BUDGET_FRAMES)


def agreement(matches: Iterable[FrameMatch]) -> Agreement:
    """Sum up the frames."""
    found = list(matches)
    pairs = [pair for entry in found for pair in entry.matched]
    return Agreement(
        required=sum(entry.required for entry in found),
        matched=len(pairs),
        unmatched=sum(len(entry.lost) for entry in found),
        extra=sum(len(entry.extra) for entry in found),
        swapped=sum(len(entry.swapped) for entry in found),
        worst_score_difference=max((_difference(pair) for pair in pairs), default=0.0),
        worst_overlap=min((_overlap(pair) for pair in pairs), default=1.0),
    )


def _disagreements(
    who: str,
    whom: str,
    matches: Sequence[tuple[str, FrameMatch]],
    limits: ParityLimits,
    manifest: ModelManifest,
) -> list[str]:
    reasons = _worst_score(who, whom, matches, limits, manifest)
    wrong = sum(len(found.lost) + len(found.extra) for _, found in matches)
    if wrong <= limits.max_unmatched:
        return reasons
    lost = sum(len(found.lost) for _, found in matches)
    reasons.append(
        f"{who} lost {lost} and invented {wrong - lost} detections against {whom}; "
        f"{limits.max_unmatched} are allowed."
    )
    return reasons + [line for name, found in matches for line in _details(who, name, found, manifest)]


def _details(who: str, name: str, found: FrameMatch, manifest: ModelManifest) -> list[str]:
    """Say of one frame what was swapped, lost and invented, a swap once."""
    swapped = {entry for pair in found.swapped for entry in pair}
    return [
        *(f"{who} took {_item(manifest, a)} for {_item(manifest, b)} in {name}." for a, b in found.swapped),
        *(f"{who} lost {_item(manifest, a)} in {name}." for a in found.lost if a not in swapped),
        *(f"{who} invented {_item(manifest, b)} in {name}." for b in found.extra if b not in swapped),
    ]


def _worst_score(
    who: str,
    whom: str,
    matches: Sequence[tuple[str, FrameMatch]],
    limits: ParityLimits,
    manifest: ModelManifest,
) -> list[str]:
    pairs = [(_difference(pair), name, pair) for name, found in matches for pair in found.matched]
    if not pairs:
        return []
    worst, name, (before, after) = max(pairs, key=lambda entry: entry[0])
    if worst <= limits.max_score_difference:
        return []
    scores = f"{who} scores {_item(manifest, before)} in {name} {after.score:.3f}, {whom} {before.score:.3f}"
    return [f"{scores}; {limits.max_score_difference} apart are allowed."]


def _proves_nothing(golden: Sequence[Golden], matches: Sequence[tuple[str, FrameMatch]]) -> list[str]:
    if not golden:
        return ["the model has no golden frames, so nothing can be compared."]
    if not sum(found.required for _, found in matches):
        return ["the reference sees nothing in any golden frame, so agreeing with it proves nothing."]
    return []


def _not_finite(who: str, count: int) -> list[str]:
    return [f"{who} puts out {count} values that are not finite."] if count else []


def _too_slow(timed: TimedRuns, budget_ms: float | None) -> list[str]:
    median_ms = _median(timed)
    if median_ms is None or budget_ms is None or median_ms <= budget_ms:
        return []
    needed = f"{median_ms:.2f} ms for {timed.frames} frames (median of {len(timed.times_ms)})"
    return [f"the candidate needs {needed}; {budget_ms:.2f} ms are allowed."]


def _median(timed: TimedRuns) -> float | None:
    return statistics.median(timed.times_ms) if timed.times_ms else None


def _difference(pair: tuple[Sighting, Sighting]) -> float:
    difference = abs(pair[0].score - pair[1].score)
    # Not a number compares as small; it is as far away as can be.
    return difference if math.isfinite(difference) else math.inf


def _overlap(pair: tuple[Sighting, Sighting]) -> float:
    return float(overlaps(pair[:1], pair[1:])[0, 0])


def _item(manifest: ModelManifest, seen: Sighting) -> str:
    return repr(manifest.classes[seen.item_ix].item_id) if seen.item_ix < len(manifest.classes) else "?"
