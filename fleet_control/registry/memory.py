"""A registry in memory: the double for rollouts."""

from collections.abc import Iterable

from fleet_control.rollouts.ports import PublishedModel


class MemoryRegistry:
    """Models that are simply there.

    Args:
        models: Which.

    Attributes:
        gone: Digests that are listed and cannot be fetched.
    """

    def __init__(self, models: Iterable[PublishedModel] = ()) -> None:
        self._models = {model.digest: model for model in models}
        self.gone: set[str] = set()

    def add(self, model: PublishedModel) -> None:
        """Publish a model."""
        self._models[model.digest] = model

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models, the newest first."""
        newest_first = sorted(self._models.values(), key=lambda model: (-model.published_ms, model.digest))
        return tuple(newest_first)

    def fetchable(self, digest: str) -> bool:
        """Whether a model is there and not gone."""
        return digest in self._models and digest not in self.gone
