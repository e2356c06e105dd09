"""The app: routes, the one shape of errors, limits and metrics put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from anyio import to_thread
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from fleet_control.api import routes_act, routes_read
from fleet_control.api.body_limit import BodyLimit
from fleet_control.api.documented import known_parameters, operations
from fleet_control.api.failures import Failure, failure_of, invalid
from fleet_control.api.metrics import Timed
from fleet_control.api.parts import READING_THREADS, Parts, PartsOf
from fleet_control.api.plan_schema import PLAN_COMPONENTS
from fleet_control.api.views import ErrorView
from fleet_control.errors import FleetControlError

_log = structlog.get_logger(__name__)

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorView, "description": said}
    for status, said in {
        400: "A plan or a parameter is wrong.",
        401: "No token, an unknown one or one that has expired.",
        403: "The role is not enough.",
        404: "There is none.",
        408: "The body took too long.",
        409: "The state forbids it.",
        413: "The body is too large.",
        415: "Neither JSON nor YAML.",
        422: "The body is malformed.",
        503: "Something does not answer; ask again after Retry-After.",
    }.items()
}
# Somebody's address has a path too many, or too few.
_NOWHERE = "the control API has nothing there: its paths begin with /v1 behind the address, see /openapi.json"
_CODES = {404: "not_found", 405: "method_not_allowed", 400: "malformed"}


def create_app(parts: Parts) -> FastAPI:
    """Return the app.

    Args:
        parts: What it is made of.
    """
    app = FastAPI(
        title="Cartwright control",
        version="1",
        description="Staged rollouts of perception models: create, watch and steer them.",
        # Pages that load scripts from somewhere else; the schema is enough.
        docs_url=None,
        redoc_url=None,
        responses=_REFUSALS,
        lifespan=_few_readers,
    )
    app.state.parts = parts
    for router in (routes_read.router, routes_act.router):
        app.include_router(router, dependencies=[Depends(known_parameters)])
    _add_checks(app)
    _add_failures(app)
    _add_plan_schema(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Timed, metrics=parts.metrics)
    return app


@asynccontextmanager
async def _few_readers(_: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = READING_THREADS
    yield


def _add_checks(app: FastAPI) -> None:
    @app.get("/live", tags=["checks"], response_class=PlainTextResponse, responses={})
    async def live() -> str:
        """Say that the process answers."""
        return "live\n"

    @app.get("/ready", tags=["checks"], response_class=PlainTextResponse)
    def ready(parts: PartsOf) -> Response:
        """Say whether commands can be carried out."""
        why = _not_ready(parts)
        return PlainTextResponse(f"{why or 'ready'}\n", 503 if why else 200)

    @app.get("/metrics", tags=["checks"], response_class=PlainTextResponse)
    def metrics(parts: PartsOf) -> Response:
        """Say everything that is counted, for Prometheus."""
        return Response(parts.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _not_ready(parts: Parts) -> str:
    try:
        parts.control.store.heads(open_only=True, limit=1)
    except FleetControlError as error:
        return str(error)
    return parts.not_ready()


def _add_failures(app: FastAPI) -> None:
    @app.exception_handler(FleetControlError)
    async def ours(request: Request, error: FleetControlError) -> JSONResponse:
        failure = failure_of(error)
        if failure.status >= 500:
            _log.error("request failed", path=request.url.path, why=str(error), kind=type(error).__name__)
        return _answer(failure)

    @app.exception_handler(RequestValidationError)
    async def refused(_: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405 and (methods := operations(request)):
            # The router names those of one route, and a path may have two.
            headers["Allow"] = ", ".join(sorted(method.upper() for method in methods))
        code = _CODES.get(error.status_code, "bad_request")
        said = _NOWHERE if error.status_code == 404 else str(error.detail)
        return _answer(Failure(error.status_code, code, said, headers=headers))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.error("request failed", path=request.url.path, exc_info=error)
        return _answer(Failure(500, "internal", "an error of the service; its log says more"))


def _answer(failure: Failure) -> JSONResponse:
    return JSONResponse(failure.body(), failure.status, dict(failure.headers))


def _add_plan_schema(app: FastAPI) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        schema = make()
        schema["components"]["schemas"].update(PLAN_COMPONENTS)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
