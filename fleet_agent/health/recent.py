"""Quantiles of what was counted lately, from totals that only grow."""

from fleet_agent.telemetry import Totals
from fleet_protocol.histogram import ExponentialHistogram


class RecentStages:
    """Compares totals with those of the look before."""

    def __init__(self) -> None:
        self._before: dict[str, dict[int, int]] = {}
        self._recent: dict[str, ExponentialHistogram] = {}

    def look(self, totals: Totals) -> None:
        """Take the totals of now."""
        counts = {stage: histogram.counts() for stage, histogram in totals.stages.items()}
        self._recent = {
            stage: ExponentialHistogram(
                {bucket: n - self._before.get(stage, {}).get(bucket, 0) for bucket, n in buckets.items()}
            )
            for stage, buckets in counts.items()
        }
        self._before = counts

    def p95_ms(self, stage: str) -> float | None:
        """Return the 95th percentile between the last two looks; None when nothing was counted."""
        histogram = self._recent.get(stage)
        return None if histogram is None else histogram.quantile(0.95)
