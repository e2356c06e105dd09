"""Rollups: the hours and days that pages read, kept true by re-opening what new rows touch."""

from queries.rollups.run import RollupReport, Rollups, RollupTarget, run_rollups

__all__ = ["RollupReport", "RollupTarget", "Rollups", "run_rollups"]
