"""Why an engine may not go live, in sentences for people and reports."""

import math
import statistics
from collections.abc import Sequence

from fleet_agent.activation.golden import Golden
from fleet_agent.activation.matching import FrameMatch, Sighting
from fleet_agent.activation.observing import TimedRuns
from fleet_agent.manifest import ModelManifest, ParityLimits

# A GPU slower than one thread of the CPU runs a broken plan. Lower, and a busy cart refuses a good one.
MOST_OF_CPU = 1.5


def disagreements(
    who: str,
    whom: str,
    matches: Sequence[tuple[str, FrameMatch]],
    limits: ParityLimits,
    manifest: ModelManifest,
) -> list[str]:
    """Say how one party differs from another beyond the limits; empty: it does not."""
    reasons = _worst_score(who, whom, matches, limits, manifest)
    worst = worst_repeats(matches)
    wrong = sum(_errors(found) for _, found in worst)
    if wrong <= limits.max_unmatched:
        return reasons
    lost = sum(len(found.lost) for _, found in worst)
    reasons.append(
        f"{who} lost {lost} and invented {wrong - lost} detections against {whom}; "
        f"{limits.max_unmatched} are allowed."
    )
    return reasons + [line for name, found in worst for line in _details(who, name, found, manifest)]


def worst_repeats(matches: Sequence[tuple[str, FrameMatch]]) -> list[tuple[str, FrameMatch]]:
    """Return each frame once, as it was seen worst: how often it fills a batch depends on the cameras."""
    worst: dict[str, FrameMatch] = {}
    for name, found in matches:
        if name not in worst or _errors(found) > _errors(worst[name]):
            worst[name] = found
    return list(worst.items())


def proves_nothing(golden: Sequence[Golden], matches: Sequence[tuple[str, FrameMatch]]) -> list[str]:
    """Say why golden frames are no test at all; empty: they are one."""
    if not golden:
        return ["the model has no golden frames, so nothing can be compared."]
    if not sum(found.required for _, found in matches):
        return ["the reference sees nothing in any golden frame, so agreeing with it proves nothing."]
    return []


def not_finite(who: str, count: int) -> list[str]:
    """Say that there are values that are not finite; empty: there are none."""
    return [f"{who} puts out {count} values that are not finite."] if count else []


def too_slow(timed: TimedRuns, budget_ms: float | None) -> list[str]:
    """Say that the runs took longer than allowed; empty: they did not."""
    median_ms = median(timed)
    if median_ms is None or budget_ms is None or median_ms <= budget_ms:
        return []
    needed = f"{median_ms:.2f} ms for {timed.frames} frames (median of {len(timed.times_ms)})"
    return [f"the candidate needs {needed}; {budget_ms:.2f} ms are allowed."]


def slower_than_cpu(timed: TimedRuns, cpu_ms: float | None) -> list[str]:
    """Say that an engine is slower than the reference on the CPU; empty: it is not, or one was not timed."""
    median_ms = median(timed)
    if median_ms is None or cpu_ms is None or median_ms <= MOST_OF_CPU * cpu_ms:
        return []
    needed = f"the candidate is too slow for what it is: {median_ms:.2f} ms for {timed.frames} frames"
    return [f"{needed}, and the CPU needs {cpu_ms:.2f} ms; {MOST_OF_CPU} times that are allowed."]


def median(timed: TimedRuns) -> float | None:
    """Return the median of the runs; None: there were none."""
    return statistics.median(timed.times_ms) if timed.times_ms else None


def _errors(found: FrameMatch) -> int:
    return len(found.lost) + len(found.extra)


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
    pairs = [(difference(pair), name, pair) for name, found in matches for pair in found.matched]
    if not pairs:
        return []
    worst, name, (before, after) = max(pairs, key=lambda entry: entry[0])
    if worst <= limits.max_score_difference:
        return []
    scores = f"{who} scores {_item(manifest, before)} in {name} {after.score:.3f}, {whom} {before.score:.3f}"
    return [f"{scores}; {limits.max_score_difference} apart are allowed."]


def difference(pair: tuple[Sighting, Sighting]) -> float:
    """Return how far the scores of a pair are apart; infinite where one is not a number."""
    difference = abs(pair[0].score - pair[1].score)
    # Not a number compares as small; it is as far away as can be.
    return difference if math.isfinite(difference) else math.inf


def _item(manifest: ModelManifest, seen: Sighting) -> str:
    return repr(manifest.classes[seen.item_ix].item_id) if seen.item_ix < len(manifest.classes) else "?"
