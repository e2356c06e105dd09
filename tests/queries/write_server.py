"""A Storage Write service that can be told to misbehave, for the writer's real gRPC client."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from google.rpc import code_pb2

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"


class MisbehavingServer:
    """Committed streams in memory.

    Attributes:
        faults: One per coming append, in order: "" (behave), "drop" (lose the request), "lose answer"
            (store, then drop the connection), "hang up on it" (end the call with INVALID_ARGUMENT if it
            holds the refused value), "no table".
        refused_value: Rows that hold it are refused.
        create_code: What making a stream fails with.
        rows: What is durable, in order.
        streams: How many streams were made.
        connections: How many connections were opened.
    """

    def __init__(self) -> None:
        self.faults: deque[str] = deque()
        self.rows: list[int] = []
        self.streams = 0
        self.connections = 0
        self.refused_value = -1
        self.create_code: grpc.StatusCode | None = None
        self._lengths: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        handlers = {
            "CreateWriteStream": grpc.unary_unary_rpc_method_handler(
                self._create, types.CreateWriteStreamRequest.deserialize, types.WriteStream.serialize
            ),
            "AppendRows": grpc.stream_stream_rpc_method_handler(
                self._append, types.AppendRowsRequest.deserialize, types.AppendRowsResponse.serialize
            ),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """Stop now."""
        self._server.stop(None).wait(10)

    def _create(self, request: types.CreateWriteStreamRequest, context: Any) -> types.WriteStream:
        if self.create_code is not None:
            context.abort(self.create_code, "as the test wants")
        with self._lock:
            self.streams += 1
            name = f"{request.parent}/streams/{self.streams}"
            self._lengths[name] = 0
        return types.WriteStream(name=name)

    def _append(self, requests: Iterator[Any], context: Any) -> Iterator[types.AppendRowsResponse]:
        self.connections += 1
        schema, name = pa.schema([]), ""
        for request in requests:
            data = request.arrow_rows
            if data.writer_schema.serialized_schema:
                schema = pa.ipc.read_schema(pa.py_buffer(data.writer_schema.serialized_schema))
            name = request.write_stream or name
            batch = pa.ipc.read_record_batch(pa.py_buffer(data.rows.serialized_record_batch), schema)
            values: list[Any] = batch[0].to_pylist()
            fault = self.faults.popleft() if self.faults else ""
            if fault == "drop":
                context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
            if fault == "hang up" or (
                fault == "hang up on it" and self.refused_value in batch[0].to_pylist()
            ):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad rows")
            answer = self._store(name, request.offset, values, fault)
            if fault == "lose answer":
                context.abort(grpc.StatusCode.UNAVAILABLE, "dropped after the commit")
            yield answer

    def _store(self, name: str, offset: int, values: list[int], fault: str) -> types.AppendRowsResponse:
        with self._lock:
            length = self._lengths[name]
            if fault == "no table":
                return _error(code_pb2.NOT_FOUND)
            if offset != length:
                return _error(code_pb2.ALREADY_EXISTS if offset < length else code_pb2.OUT_OF_RANGE)
            if self.refused_value in values:
                return _error(code_pb2.INVALID_ARGUMENT)
            self.rows += values
            self._lengths[name] += len(values)
        result = types.AppendRowsResponse.AppendResult(offset=offset)
        return types.AppendRowsResponse(append_result=result)

    def foreign_rows(self, n: int) -> None:
        """Play somebody else who wrote n rows to the newest stream."""
        with self._lock:
            self._lengths[next(reversed(self._lengths))] += n


def _error(code: int) -> types.AppendRowsResponse:
    answer = types.AppendRowsResponse()
    answer.error.code = code
    answer.error.message = f"code {code}"
    return answer
