"""Why nothing useful came from an address, and what to do about it. Pure."""

import ssl
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NameResolutionError, NewConnectionError

from fleet_control.rollouts_cli.settings import WHERE_SET


def for_good(error: requests.RequestException) -> bool:
    """Whether asking once more would be answered the same way."""
    return isinstance(error, requests.exceptions.SSLError) or isinstance(_cause(error), NameResolutionError)


def why(error: requests.RequestException, url: str) -> str:
    """Return why a call got no answer, and what may help.

    Args:
        error: What the call ended with.
        url: What was called.
    """
    host, cause = urlsplit(url).hostname, _cause(error)
    if isinstance(error, requests.exceptions.SSLError):
        return _tls(cause)
    if isinstance(cause, NameResolutionError):
        return f"there is no host {host}; check the address ({WHERE_SET})"
    if isinstance(error, requests.Timeout):
        return f"no answer in time; check host and port ({WHERE_SET}), or ask again"
    if isinstance(cause, NewConnectionError):
        return f"nothing listens there; check that `cartwright control` runs, and the address ({WHERE_SET})"
    spoken = (
        "" if url.startswith("https:") else "; if it is served with TLS, its address begins with https://"
    )
    return f"the connection broke{spoken}"


def something_else(status: int) -> str:
    """Return what to say of an answer that is none of the control API."""
    return f"something else does, with status {status}; check host, port and path ({WHERE_SET})"


def _cause(error: requests.RequestException) -> object:
    first = error.args[0] if error.args else None
    return getattr(first, "reason", None) or first


def _tls(cause: object) -> str:
    first = cause.args[0] if isinstance(cause, Exception) and cause.args else None
    if isinstance(first, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({first.verify_message}); "
            f"use the host's name that the certificate is for ({WHERE_SET})"
        )
    return (
        "what listens there does not speak TLS; if that is right, its address begins with http:// "
        f"({WHERE_SET})"
    )
