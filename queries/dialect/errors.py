"""Why a statement is refused before it runs.

DialectError
├── StatementError     the text is wrong in BigQuery too (400 invalidQuery)
└── UnsupportedError   BigQuery would take it, this emulator does not (501 notImplemented)
"""

from __future__ import annotations


class DialectError(Exception):
    """Base of the refusals of the translator."""


class StatementError(DialectError):
    """The text is wrong in BigQuery too.

    Attributes:
        line: 1-based line, or None where unknown.
        column: 1-based column, or None where unknown.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        where = f" at [{line}:{column}]" if line is not None and column is not None else ""
        super().__init__(message + where)
        self.line = line
        self.column = column


class UnsupportedError(DialectError):
    """BigQuery takes it, the emulator does not; the message names the thing."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"{thing} is not supported by the embedded BigQuery endpoint")
        self.thing = thing
