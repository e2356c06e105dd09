"""The parity gate: an engine goes live only if it sees the golden frames as the reference does.

Three parties are compared. The manifest holds what the network saw when it was trained; the reference
runs the FP32 file on the CPU with ONNX Runtime; the candidate is the engine that shall go live. The
reference is held to the recording, so that a damaged model is refused although both engines agree, and
the candidate to the reference, so that a wrong plan is. Few bits cost an artifact so much that another
network would pass in its place; so its engine is held to the very same file on the CPU too, and closely.
`judge` is a function of values; `check` runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet_agent.activation.golden import Golden
from fleet_agent.activation.matching import FrameMatch, Sighting, match, overlaps, sightings
from fleet_agent.activation.observing import Observation, observe
from fleet_agent.activation.reasons import (
    difference,
    disagreements,
    median,
    not_finite,
    proves_nothing,
    slower_than_cpu,
    too_slow,
    worst_repeats,
)
from fleet_agent.manifest import ModelManifest, ParityLimits
from fleet_agent.perception import EngineInfo, PerceptionEngine
from fleet_agent.ports import Clock

# The manifest's latency budget is for a batch of this many frames.
BUDGET_FRAMES = 4
# One file on two runtimes differs by their rounding only: eight bits by some hundredths of a score. Looser,
# and the engine of another network passes; tighter, and a CPU that rounds otherwise refuses a good one.
SAME_FILE_DIFFERENCE = 0.10
SAME_FILE_OVERLAP = 0.8
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
        to_same_file: The candidate against its own artifact on the CPU; None: that is the reference.
        nan_count: Values in the candidate's raw outputs that are not finite.
        reference_nan_count: The same of the reference.
        median_ms: Of the candidate's timed runs, one full batch each; None: none were asked for.
        reference_ms: Median of the reference for as many frames; None: it was not timed.
        budget_ms: Longest median allowed; None: no limit.
        runs: Timed runs.
        reference_passed: Whether the reference agrees with the recording: if not, the model is damaged; if
            so, a candidate that is refused is the fault of its plan or its artifact.
        candidate_right: Whether the candidate's answers are right, however long they took.
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
    to_same_file: Agreement | None
    nan_count: int
    reference_nan_count: int
    median_ms: float | None
    reference_ms: float | None
    budget_ms: float | None
    runs: int
    reference_passed: bool
    candidate_right: bool
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
    same_file: PerceptionEngine | None = None,
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
        same_file: The candidate's artifact on the CPU; None where that is the reference.

    Raises:
        EngineError: an engine cannot run, or its outputs are not what the decoder wants.
    """
    seen = observe(candidate, manifest, golden, clock=clock, runs=runs)
    truth = observe(reference, manifest, golden, clock=clock, runs=0 if _on_cpu(seen.engine) else runs)
    same = None if same_file is None else observe(same_file, manifest, golden, clock=clock, runs=0)
    return judge(manifest, golden, truth, seen, limits, budget_ms=budget_ms, same=same)


def judge(
    manifest: ModelManifest,
    golden: Sequence[Golden],
    truth: Observation,
    seen: Observation,
    limits: ParityLimits,
    *,
    budget_ms: float | None,
    same: Observation | None = None,
) -> ParityReport:
    """Compare what was seen; see `check`."""
    own_limits = manifest.artifacts["fp32"].parity
    recorded = {frame.name: sightings(frame.expected) for frame in golden}
    to_recording = _matches(recorded, truth, own_limits)
    to_reference = _matches(_seen_by(truth), seen, limits)
    closely = _closer(limits)
    to_same = [] if same is None else _matches(_seen_by(same), seen, closely)
    of_the_model = [
        *proves_nothing(golden, to_reference),
        *not_finite("the reference", truth.nan_count),
        *disagreements("the reference", "the recording of training", to_recording, own_limits, manifest),
    ]
    of_the_candidate = [
        *not_finite("the candidate", seen.nan_count),
        *disagreements("the candidate", "the reference", to_reference, limits, manifest),
        *disagreements("the candidate", "its own file on the CPU", to_same, closely, manifest),
    ]
    reference_ms = _for_frames(truth, seen.timed.frames)
    reasons = [
        *of_the_model,
        *of_the_candidate,
        *too_slow(seen.timed, budget_ms),
        *slower_than_cpu(seen.timed, reference_ms),
    ]
    return ParityReport(
        model=manifest.digest,
        precision=seen.engine.precision,
        candidate=str(seen.engine),
        reference=str(truth.engine),
        frames=len(golden),
        to_recording=agreement(to_recording),
        to_reference=agreement(to_reference),
        to_same_file=None if same is None else agreement(to_same),
        nan_count=seen.nan_count,
        reference_nan_count=truth.nan_count,
        median_ms=median(seen.timed),
        reference_ms=reference_ms,
        budget_ms=budget_ms,
        runs=len(seen.timed.times_ms),
        reference_passed=not of_the_model,
        candidate_right=not of_the_candidate,
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
    found = _matches(recorded, seen, both)
    reasons = [
        *not_finite("the engine", seen.nan_count),
        *disagreements("the engine", "the recording of training", found, both, manifest),
    ]
    return tuple(reasons[:MAX_REASONS])


def _matches(
    wanted: Mapping[str, tuple[Sighting, ...]], seen: Observation, limits: ParityLimits
) -> list[tuple[str, FrameMatch]]:
    return [(frame.name, match(wanted[frame.name], frame.sightings, limits)) for frame in seen.frames]


def _seen_by(observation: Observation) -> dict[str, tuple[Sighting, ...]]:
    return {frame.name: frame.sightings for frame in observation.frames}


def _on_cpu(engine: EngineInfo) -> bool:
    return (engine.backend, engine.device) == ("onnxruntime", "cpu")


def _for_frames(observation: Observation, frames: int) -> float | None:
    median_ms = median(observation.timed)
    return None if median_ms is None else median_ms / observation.timed.frames * frames


def _closer(limits: ParityLimits) -> ParityLimits:
    return ParityLimits(
        score_floor=limits.score_floor,
        least_overlap=max(SAME_FILE_OVERLAP, limits.least_overlap),
        max_score_difference=min(SAME_FILE_DIFFERENCE, limits.max_score_difference),
        max_unmatched=limits.max_unmatched,
    )


def _looser(first: ParityLimits, second: ParityLimits) -> ParityLimits:
    difference = first.max_score_difference + second.max_score_difference
    return ParityLimits(
        # A score may slip below the floor in the first step, and is not required in the second: only what
        # is above it by both differences was required in each.
        score_floor=max(first.score_floor, second.score_floor) + difference,
        # One less the overlap is a distance, so it adds up (Kosub 2019, arXiv:1612.02696).
        least_overlap=max(0.0, first.least_overlap + second.least_overlap - 1.0),
        max_score_difference=min(1.0, difference),
        max_unmatched=first.max_unmatched + second.max_unmatched,
    )


def budget_for(manifest: ModelManifest, cameras: int, override_ms: float | None) -> float | None:
    """Return the longest median time of a full batch: the manifest's is for four frames, more get more."""
    budget_ms = override_ms if override_ms is not None else manifest.latency_budget_ms
    return None if budget_ms is None else budget_ms * max(1.0, cameras / BUDGET_FRAMES)


def agreement(matches: Sequence[tuple[str, FrameMatch]]) -> Agreement:
    """Sum up the frames, each as often as it was seen at its worst: once."""
    found = [entry for _, entry in worst_repeats(matches)]
    pairs = [pair for _, entry in matches for pair in entry.matched]
    return Agreement(
        required=sum(entry.required for entry in found),
        matched=sum(len(entry.matched) for entry in found),
        unmatched=sum(len(entry.lost) for entry in found),
        extra=sum(len(entry.extra) for entry in found),
        swapped=sum(len(entry.swapped) for entry in found),
        worst_score_difference=max((difference(pair) for pair in pairs), default=0.0),
        worst_overlap=min((_overlap(pair) for pair in pairs), default=1.0),
    )


def _overlap(pair: tuple[Sighting, Sighting]) -> float:
    return float(overlaps(pair[:1], pair[1:])[0, 0])
