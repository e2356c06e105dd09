"""The REST endpoint: routes, request bodies, errors in BigQuery's shape."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from queries.emulator.errors import (
    ApiError,
    InvalidError,
    NotFoundError,
    NotImplementedApiError,
    TooLargeError,
    as_api_error,
)
from queries.emulator.rest_jobs import JobRoutes
from queries.emulator.rest_tables import TableRoutes
from queries.emulator.service import Service

MAX_BODY_BYTES = 64 * 1024 * 1024  # of a JSON request; BigQuery takes 10 MB for insertAll
MAX_UPLOAD_CHUNK_BYTES = 1024 * 1024 * 1024  # of one upload request; the client sends up to 100 MB at once
THREADS = 64  # requests that may wait for a job at the same time

Call = Callable[["Incoming"], Any]


class Incoming:
    """One request, read completely.

    Attributes:
        path: Path parameters.
        query: Query parameters.
        headers: Headers, lower case.
        data: Body as bytes.
        base: Scheme and host the client used.
    """

    def __init__(self, request: Request, data: bytes) -> None:
        self.path: dict[str, str] = dict(request.path_params)
        self.query: dict[str, str] = dict(request.query_params)
        self.headers: dict[str, str] = {k.lower(): v for k, v in request.headers.items()}
        self.data = data
        self.base = f"{request.url.scheme}://{request.url.netloc}"

    def json(self) -> dict[str, Any]:
        """Read the body as a JSON object.

        Raises:
            InvalidError: It is not one.
        """
        try:
            value = json.loads(self.data) if self.data else {}
        except ValueError as error:
            raise InvalidError(f"Invalid JSON payload received: {error}", reason="parseError") from error
        if not isinstance(value, dict):
            raise InvalidError("Invalid JSON payload received: an object is expected", reason="parseError")
        return value


async def _read(request: Request, limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLargeError(
                f"Request payload size exceeds the limit: {limit} bytes", status=413, reason="uploadTooLarge"
            )
        chunks.append(chunk)
    data = b"".join(chunks)
    if request.headers.get("content-encoding", "").lower() == "gzip":
        return _unzip(data, limit)
    return data


def _unzip(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        out = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise InvalidError("The body is not valid gzip") from error
    if len(out) > limit:
        raise TooLargeError(
            f"Request payload size exceeds the limit: {limit} bytes", status=413, reason="uploadTooLarge"
        )
    return out


def build_app(service: Service) -> Starlette:
    """Put the routes together."""
    tables, jobs = TableRoutes(service), JobRoutes(service)
    limiter = anyio.to_thread.current_default_thread_limiter

    def endpoint(call: Call, limit: int = MAX_BODY_BYTES) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            limiter().total_tokens = THREADS
            try:
                incoming = Incoming(request, await _read(request, limit))
                if incoming.path.get("project", service.project) != service.project:
                    raise NotFoundError(  # noqa: TRY301
                        f"Not found: Project {incoming.path['project']} (this endpoint serves "
                        f"{service.project})"
                    )
                found = await anyio.to_thread.run_sync(call, incoming)
            except ClientDisconnect:
                return Response(status_code=499)
            except Exception as error:  # noqa: BLE001  # every failure must have BigQuery's shape
                return _refusal(as_api_error(error))
            return _answer(found, request)

        return handle

    root = "/bigquery/v2"
    project = root + "/projects/{project}"
    dataset = project + "/datasets/{dataset}"
    table = dataset + "/tables/{table}"
    upload = "/upload" + project + "/jobs"
    routes = [
        Route("/", endpoint(lambda _: {"status": "ok", "project": service.project}), methods=["GET"]),
        Route(root + "/projects", endpoint(tables.projects), methods=["GET"]),
        Route(project + "/serviceAccount", endpoint(tables.service_account), methods=["GET"]),
        Route(project + "/datasets", endpoint(tables.create_dataset), methods=["POST"]),
        Route(project + "/datasets", endpoint(tables.list_datasets), methods=["GET"]),
        Route(dataset, endpoint(tables.get_dataset), methods=["GET"]),
        Route(dataset, endpoint(tables.delete_dataset), methods=["DELETE"]),
        Route(dataset, endpoint(tables.patch_dataset), methods=["PATCH", "PUT"]),
        Route(dataset + "/tables", endpoint(tables.create_table), methods=["POST"]),
        Route(dataset + "/tables", endpoint(tables.list_tables), methods=["GET"]),
        Route(table, endpoint(tables.get_table), methods=["GET"]),
        Route(table, endpoint(tables.patch_table), methods=["PATCH", "PUT"]),
        Route(table, endpoint(tables.delete_table), methods=["DELETE"]),
        Route(table + "/data", endpoint(jobs.list_rows), methods=["GET"]),
        Route(table + "/insertAll", endpoint(tables.insert_all), methods=["POST"]),
        Route(project + "/queries", endpoint(jobs.query), methods=["POST"]),
        Route(project + "/queries/{job}", endpoint(jobs.results), methods=["GET"]),
        Route(project + "/jobs", endpoint(jobs.insert), methods=["POST"]),
        Route(project + "/jobs", endpoint(jobs.list_jobs), methods=["GET"]),
        Route(project + "/jobs/{job}", endpoint(jobs.get), methods=["GET"]),
        Route(project + "/jobs/{job}/cancel", endpoint(jobs.cancel), methods=["POST"]),
        Route(project + "/jobs/{job}/delete", endpoint(jobs.delete), methods=["DELETE"]),
        Route(upload, endpoint(jobs.upload, MAX_UPLOAD_CHUNK_BYTES), methods=["POST", "PUT"]),
        Route("/resumable" + upload, endpoint(jobs.upload, MAX_UPLOAD_CHUNK_BYTES), methods=["POST", "PUT"]),
        Route("/{rest:path}", endpoint(_unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    return Starlette(routes=routes)


def _unknown(incoming: Incoming) -> Any:
    path = incoming.path.get("rest", "")
    if path.startswith(("bigquery/v2/", "upload/", "batch/")):
        raise NotImplementedApiError(f"/{path} is not supported by the embedded BigQuery endpoint")
    raise NotFoundError(f"Not found: /{path}")


def _refusal(error: ApiError) -> Response:
    return Response(orjson.dumps(error.body()), error.status, media_type="application/json")


def _answer(found: Any, request: Request) -> Response:
    if isinstance(found, Response):
        return found
    if found is None:
        return Response(status_code=204)
    data = orjson.dumps(found)
    headers = {}
    if (
        len(data) > 100_000
        and "gzip" in request.headers.get("accept-encoding", "")
        and request.client
        and request.client.host not in {"127.0.0.1", "::1"}
    ):
        data = gzip.compress(data, 1)
        headers["content-encoding"] = "gzip"
    return Response(data, 200, headers, "application/json")
