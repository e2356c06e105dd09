"""The cart's durable queue of messages (being written)."""

from pathlib import Path

from fleet_agent.config import SpoolConfig


class Spool:
    """Messages that the cloud has not confirmed, in one SQLite file."""

    def __init__(self, path: Path, limits: SpoolConfig) -> None:
        raise NotImplementedError
