"""What can go wrong when asking the warehouse.

QueriesError
├── ConfigurationError        the target, the emulator's address or a schema file makes no sense
├── QueryError                one question failed; carries the name of the query
│   ├── QueryTimeoutError     no answer within the time allowed
│   ├── QueryRefusedError     the warehouse understood and said no (syntax, missing table, cost limit)
│   └── WarehouseUnavailableError   nobody answered, or the answer was a server error
├── RollupError               some rollups are not up to date; carries an error for each of them
└── AppendError               rows could not be appended; carries the table
    ├── AppendRefusedError    the rows or the schema are wrong: retrying does not help
    └── AppendUnavailableError      not delivered within the time allowed: retrying may help
"""

from __future__ import annotations

from collections.abc import Mapping


class QueriesError(Exception):
    """Base of everything this package raises."""


class ConfigurationError(QueriesError):
    """The target, an address or a schema file makes no sense."""


class QueryError(QueriesError):
    """One question to the warehouse failed.

    Attributes:
        query: Name of the query, as in the catalogue.
        reason: BigQuery's reason code, or "" where there is none.
        detail: The sentence the warehouse gave.
    """

    def __init__(self, query: str, detail: str, reason: str = "") -> None:
        super().__init__(f"query {query}: {detail}")
        self.query = query
        self.reason = reason
        self.detail = detail


class QueryTimeoutError(QueryError):
    """No answer within the time allowed."""


class QueryRefusedError(QueryError):
    """The warehouse understood the question and refused it."""


class WarehouseUnavailableError(QueryError):
    """Nobody answered, or the answer was a server error."""


class RollupError(QueriesError):
    """Some rollups could not be brought up to date; all others are.

    Attributes:
        failed: Name of each rollup that failed, and why.
    """

    def __init__(self, failed: Mapping[str, QueryError]) -> None:
        super().__init__("; ".join(f"{name}: {error.detail}" for name, error in failed.items()))
        self.failed = dict(failed)


class AppendError(QueriesError):
    """Rows could not be appended.

    Attributes:
        table: Table the rows were meant for.
        detail: The sentence the warehouse gave.
    """

    def __init__(self, table: str, detail: str) -> None:
        super().__init__(f"append to {table}: {detail}")
        self.table = table
        self.detail = detail


class AppendRefusedError(AppendError):
    """The rows or the schema are wrong; sending them again does not help."""


class AppendUnavailableError(AppendError):
    """Not delivered within the time allowed; the rows may be sent again."""
