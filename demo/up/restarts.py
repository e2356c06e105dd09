"""When a component that died is started again, and when that has no point any more."""

from dataclasses import dataclass

FIRST_BACKOFF_S = 0.5
LARGEST_BACKOFF_S = 15.0
# More deaths than this within the window is a crash loop. Fewer gives up on a machine that is
# merely overloaded for a moment; more hides a component that will never run.
MAX_DEATHS = 5
WINDOW_S = 120.0


@dataclass(frozen=True, slots=True)
class DeathRecord:
    """The recent deaths of one component, oldest first, in seconds of the supervisor's clock."""

    at_s: tuple[float, ...] = ()

    def died(self, now_s: float) -> "DeathRecord":
        """Return the record with one more death; forgets those before the window."""
        recent = tuple(at for at in self.at_s if now_s - at < WINDOW_S)
        return DeathRecord((*recent, now_s))

    @property
    def hopeless(self) -> bool:
        """Whether it died too often to be started again."""
        return len(self.at_s) > MAX_DEATHS

    @property
    def backoff_s(self) -> float:
        """How long to wait before the next start: doubles with each recent death."""
        return float(min(LARGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (len(self.at_s) - 1)))
