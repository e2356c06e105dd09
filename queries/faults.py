"""What Google's query client raises, in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager

import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors

from queries.errors import QueryError, QueryRefusedError, QueryTimeoutError, WarehouseUnavailableError
from queries.question import Query

_TIMEOUTS = (FutureTimeoutError, requests.exceptions.Timeout, google_errors.GatewayTimeout)
_SILENCE = (requests.exceptions.RequestException, auth_errors.TransportError, ConnectionError)


@contextmanager
def our_errors(query: Query) -> Iterator[None]:
    """Let only errors of ours out of the block; programming errors pass unchanged.

    Raises:
        QueryTimeoutError: no answer within the query's time-out.
        QueryRefusedError: the warehouse refused it.
        WarehouseUnavailableError: nobody answered, or the answer was a server error.
    """
    try:
        yield
    except (google_errors.GoogleAPIError, auth_errors.GoogleAuthError, *_TIMEOUTS, *_SILENCE) as error:
        raise _translate(query, error) from error


def _translate(query: Query, error: BaseException) -> QueryError:
    if isinstance(error, google_errors.RetryError) and error.cause is not None:
        return _translate(query, error.cause)
    if isinstance(error, _TIMEOUTS):
        return QueryTimeoutError(query.name, f"no answer within {query.timeout_s:g} s")
    if isinstance(error, _SILENCE):
        return WarehouseUnavailableError(
            query.name, f"the warehouse does not answer ({type(error).__name__})"
        )
    if isinstance(error, google_errors.GoogleAPICallError):
        if _reason(error) == "stopped":
            return QueryTimeoutError(query.name, f"stopped after {query.timeout_s:g} s")
        kind = WarehouseUnavailableError if _may_pass(error) else QueryRefusedError
        return kind(query.name, _detail(error), _reason(error))
    return QueryRefusedError(query.name, str(error), "authentication")


def _may_pass(error: google_errors.GoogleAPICallError) -> bool:
    """Tell whether asking again may help: not for 4xx, nor for 501, which says "not implemented"."""
    if isinstance(error, google_errors.MethodNotImplemented):
        return False
    return isinstance(error, (google_errors.ServerError, google_errors.TooManyRequests))


def _reason(error: google_errors.GoogleAPICallError) -> str:
    first = next(iter(error.errors or ()), None)
    return str(first.get("reason", "")) if isinstance(first, Mapping) else ""


def _detail(error: google_errors.GoogleAPICallError) -> str:
    """Return the sentence without the request line that Google's client puts before it."""
    return str(error.message or error).split("?prettyPrint=false: ", 1)[-1]
