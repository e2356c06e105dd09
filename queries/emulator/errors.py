"""Refusals in BigQuery's own shape.

ApiError                  status, reason, message; every answer that is not 2xx
├── InvalidError          400 invalid / invalidQuery
├── NotFoundError         404 notFound
├── DuplicateError        409 duplicate
├── PreconditionError     412 conditionNotMet
├── TooLargeError         413 / 403 responseTooLarge
├── StoppedError          400 stopped (a job that was cancelled or ran out of time)
└── NotImplementedApiError   501 notImplemented: BigQuery can, this endpoint does not
"""

from __future__ import annotations

import re
from typing import Any

import duckdb

from queries.dialect.errors import DialectError, StatementError, UnsupportedError


class ApiError(Exception):
    """An answer that is not 2xx.

    Attributes:
        status: HTTP status.
        reason: BigQuery's reason code.
        message: A sentence.
        location: What it is about ("query", a field name), or "".
    """

    status = 500
    reason = "emulatorFault"  # not "internalError": Google's clients would try that again for minutes

    def __init__(self, message: str, *, reason: str = "", location: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.location = location
        self.status = status or type(self).status

    def item(self) -> dict[str, str]:
        """Give the `ErrorProto` of jobs."""
        out = {"reason": self.reason, "message": self.message}
        if self.location:
            out["location"] = self.location
        return out

    def body(self) -> dict[str, Any]:
        """Give the body of the HTTP answer."""
        status = {
            400: "INVALID_ARGUMENT",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            409: "ALREADY_EXISTS",
            501: "UNIMPLEMENTED",
        }
        first: dict[str, str] = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            first |= {"location": self.location, "locationType": "other"}
        error = {
            "code": self.status,
            "message": self.message,
            "errors": [first],
            "status": status.get(self.status, "UNKNOWN"),
        }
        return {"error": error}


class InvalidError(ApiError):
    """The request is wrong."""

    status, reason = 400, "invalid"


class NotFoundError(ApiError):
    """There is no such thing."""

    status, reason = 404, "notFound"


class DuplicateError(ApiError):
    """It exists already."""

    status, reason = 409, "duplicate"


class PreconditionError(ApiError):
    """The resource changed since the caller read it."""

    status, reason = 412, "conditionNotMet"


class TooLargeError(ApiError):
    """More than a cap of this endpoint."""

    status, reason = 403, "responseTooLarge"


class StoppedError(ApiError):
    """A job was cancelled or ran out of time."""

    status, reason = 400, "stopped"


class NotImplementedApiError(ApiError):
    """BigQuery can, this endpoint does not."""

    status, reason = 501, "notImplemented"


def as_api_error(error: Exception, query: str = "") -> ApiError:  # noqa: PLR0911  # one per kind
    """Turn what went wrong below into BigQuery's words."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UnsupportedError):
        return NotImplementedApiError(str(error), location="query" if query else "")
    if isinstance(error, DialectError):
        return InvalidError(str(error), reason="invalidQuery", location="query")
    if isinstance(error, duckdb.InterruptException) or str(error).startswith("INTERRUPT Error"):
        return StoppedError("Job execution was cancelled: User requested cancellation, or its time was up")
    if isinstance(error, duckdb.Error):
        return _from_duckdb(str(error), query)
    if isinstance(error, RecursionError):
        return NotImplementedApiError(
            "A query nested this deeply is not supported by the embedded BigQuery endpoint"
        )
    return ApiError(f"An internal error occurred: {type(error).__name__}: {str(error)[:300]}")


def bind_error(error: duckdb.Error, query: str = "") -> DialectError:
    """Turn an error of binding into one of the translator."""
    mapped = _from_duckdb(str(error), query)
    return (
        UnsupportedError(mapped.message)
        if isinstance(mapped, NotImplementedApiError)
        else StatementError(mapped.message)
    )


def _from_duckdb(text: str, query: str) -> ApiError:
    own = re.search(r"bq!(.*?)!", text, re.DOTALL)
    if own:
        return InvalidError(own.group(1), reason="invalidQuery", location="query")
    first = text.split("\n\n", maxsplit=1)[0].strip()
    for pattern, message in (
        (r"Division by zero", "division by zero"),
        (r'Referenced column "([^"]+)" not found', "Unrecognized name: {0}{at}"),
        (r'Referenced table "([^"]+)" not found', "Unrecognized name: {0}{at}"),
        (r'Table "([^"]+)" does not have a column named "([^"]+)"', "Name {1} not found inside {0}{at}"),
        (r'Could not find key "([^"]+)" in struct', "Field name {0} does not exist in STRUCT{at}"),
        (r'Ambiguous reference to column name "([^"]+)"', "Column name {0} is ambiguous{at}"),
        (r"[Oo]verflow in (\w+) of INT64 \((.*?)\)", "int64 overflow: {1}"),
        (
            r'column "?([^" ]+)"? must appear in the GROUP BY',
            "SELECT list expression references column {0} which is neither grouped nor aggregated{at}",
        ),
        (r"NOT NULL constraint failed: \S+\.(\S+)", "Required field {0} cannot be null"),
    ):
        found = re.search(pattern, text)
        if found:
            name = next(iter(found.groups()[-1:]), "")
            return InvalidError(
                message.format(*found.groups(), at=_position(query, name)),
                reason="invalidQuery",
                location="query",
            )
    if first.startswith(("Not implemented Error", "INTERNAL Error")):
        return NotImplementedApiError(f"The embedded BigQuery endpoint cannot run this: {first[:400]}")
    if first.startswith("Out of Memory"):
        return TooLargeError(
            f"Resources exceeded during query execution: {first[:300]}",
            reason="resourcesExceeded",
            status=400,
        )
    cleaned = re.sub(
        r"^(Binder|Conversion|Invalid Input|Parser|Catalog|Out of Range|Constraint) Error: ", "", first
    )
    return InvalidError(cleaned[:600], reason="invalidQuery", location="query")


def _position(query: str, name: str) -> str:
    found = re.search(rf"\b{re.escape(name)}\b", query, re.IGNORECASE) if name else None
    if found is None:
        return ""
    before = query[: found.start()]
    return f" at [{before.count(chr(10)) + 1}:{found.start() - before.rfind(chr(10))}]"
