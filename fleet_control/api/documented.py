"""What the schema promises, held against requests: a misspelt parameter is never passed over."""

from typing import Any

from fastapi import Request

from fleet_control.api.parts import SignedIn
from fleet_control.errors import RequestRefusedError


def operations(request: Request) -> dict[str, Any]:
    """Return the documented operations of a request's path, by method in small letters."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    # Where a path is a route of its own, it is not the id of another one.
    return paths.get(request.url.path) or paths.get(getattr(request.scope.get("route"), "path", ""), {})


async def known_parameters(request: Request, _: SignedIn) -> None:
    """Refuse parameters that nobody reads: `?staus=running` must not list everything.

    Raises:
        RequestRefusedError: there is one.
    """
    parameters = operations(request).get(request.method.lower(), {}).get("parameters", [])
    known = {one["name"] for one in parameters if one["in"] == "query"}
    if unknown := sorted(set(request.query_params) - known):
        there_are = ", ".join(sorted(known)) or "none"
        raise RequestRefusedError(
            400, "bad_request", f"unknown parameter {unknown[0]!r}; there are: {there_are}"
        )
