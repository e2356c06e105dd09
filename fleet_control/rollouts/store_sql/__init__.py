"""The database of rollouts in SQL: SQLite on one machine, PostgreSQL where several controllers run."""

from fleet_control.rollouts.store_sql.opening import open_store
from fleet_control.rollouts.store_sql.store import SqlRolloutStore

__all__ = ["SqlRolloutStore", "open_store"]
