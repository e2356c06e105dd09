"""The gRPC service google.cloud.bigquery.storage.v1.BigQueryWrite."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import timestamp_pb2
from google.rpc import status_pb2

from queries.emulator.errors import ApiError, InvalidError, NotImplementedApiError, as_api_error
from queries.emulator.proto_rows import ProtoRows
from queries.emulator.streams import (
    OffsetAheadError,
    OffsetExistsError,
    Stream,
    StreamFinalizedError,
    Streams,
)

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
MAX_MESSAGE_BYTES = (
    20 * 1024 * 1024
)  # BigQuery takes 20 MB at most; more would be accepted here and refused there
WORKERS = 32  # one per open AppendRows connection; more clients than this wait
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    501: grpc.StatusCode.UNIMPLEMENTED,
}
STORAGE_ERRORS = {
    OffsetExistsError: "OFFSET_ALREADY_EXISTS",
    OffsetAheadError: "OFFSET_OUT_OF_RANGE",
    StreamFinalizedError: "STREAM_FINALIZED",
}
KINDS = {
    "COMMITTED": types.WriteStream.Type.COMMITTED,
    "PENDING": types.WriteStream.Type.PENDING,
    "DEFAULT": types.WriteStream.Type.COMMITTED,
}


def code_of(error: ApiError) -> grpc.StatusCode:
    """Give the gRPC status of a refusal."""
    return (
        grpc.StatusCode.OUT_OF_RANGE
        if isinstance(error, OffsetAheadError)
        else CODES.get(error.status, grpc.StatusCode.INTERNAL)
    )


class WriteService:
    """Answers the calls of BigQueryWrite."""

    def __init__(self, streams: Streams, fields_of: Callable[[Stream], Any]) -> None:
        self._streams = streams
        self._fields_of = fields_of

    def create_write_stream(self, request: Any, _: grpc.ServicerContext) -> Any:
        """CreateWriteStream."""
        kinds = {types.WriteStream.Type.COMMITTED: "COMMITTED", types.WriteStream.Type.PENDING: "PENDING"}
        kind = kinds.get(request.write_stream.type_)
        if kind is None:
            raise NotImplementedApiError(
                "Only COMMITTED and PENDING write streams are supported by the embedded BigQuery endpoint"
            )
        return _stream(self._streams.create(request.parent, kind))

    def get_write_stream(self, request: Any, _: grpc.ServicerContext) -> Any:
        """GetWriteStream."""
        return _stream(self._streams.get(request.name))

    def finalize_write_stream(self, request: Any, _: grpc.ServicerContext) -> Any:
        """FinalizeWriteStream."""
        return types.FinalizeWriteStreamResponse(row_count=self._streams.finalize(request.name))

    def batch_commit_write_streams(self, request: Any, _: grpc.ServicerContext) -> Any:
        """BatchCommitWriteStreams."""
        at = timestamp_pb2.Timestamp()
        at.FromMilliseconds(self._streams.commit(request.parent, list(request.write_streams)))
        return types.BatchCommitWriteStreamsResponse(commit_time=at)

    def flush_rows(self, _: Any, __: grpc.ServicerContext) -> Any:
        """FlushRows: only buffered streams have it."""
        raise NotImplementedApiError(
            "Buffered write streams are not supported by the embedded BigQuery endpoint"
        )

    def append_rows(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """AppendRows: one answer per request, in order, after the rows are on the disk."""
        name, reader = "", _Reader(self._streams, self._fields_of)
        for raw in requests:
            request = types.AppendRowsRequest.pb(raw) if isinstance(raw, types.AppendRowsRequest) else raw
            name = request.write_stream or name
            try:
                yield self._append(name, reader, request)
            except Exception as error:  # noqa: BLE001  # every failure becomes an answer of the stream
                refusal = as_api_error(error)
                if isinstance(
                    refusal, OffsetExistsError | OffsetAheadError | StreamFinalizedError | InvalidError
                ):
                    yield _refused(name, refusal)
                else:
                    context.abort(code_of(refusal), refusal.message)

    def _append(self, name: str, reader: _Reader, request: Any) -> Any:
        rows = reader.rows(name, request)
        offset = request.offset.value if request.HasField("offset") else None
        first = self._streams.append(name, rows, offset)
        answer = types.AppendRowsResponse.pb()(write_stream=name)
        answer.append_result.SetInParent()
        if first is not None:
            answer.append_result.offset.value = first
        return answer


class _Reader:
    """Reads the rows of one connection; the schema comes with its first request."""

    def __init__(self, streams: Streams, fields_of: Callable[[Stream], Any]) -> None:
        self._streams = streams
        self._fields_of = fields_of
        self._schema: pa.Schema | None = None
        self._proto: ProtoRows | None = None
        self._name = ""

    def rows(self, name: str, request: Any) -> pa.Table:
        """Give the rows of one request.

        Raises:
            InvalidError: There is no stream name, no schema, or the rows do not match it.
        """
        if not name:
            raise InvalidError("The first request must name the write stream")
        if name != self._name:
            self._name, self._schema, self._proto = name, self._schema, self._proto
        if request.HasField("arrow_rows"):
            return self._arrow(request.arrow_rows)
        if request.HasField("proto_rows"):
            return self._protobuf(name, request.proto_rows)
        raise InvalidError("Rows must be specified")

    def _arrow(self, data: Any) -> pa.Table:
        try:
            if data.writer_schema.serialized_schema:
                self._schema = pa.ipc.read_schema(pa.py_buffer(data.writer_schema.serialized_schema))
            if self._schema is None:
                raise InvalidError("The first request must carry the Arrow schema")
            batch = pa.ipc.read_record_batch(pa.py_buffer(data.rows.serialized_record_batch), self._schema)
            batch.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise InvalidError(f"The Arrow rows cannot be read: {error}") from error
        return pa.Table.from_batches([batch])

    def _protobuf(self, name: str, data: Any) -> pa.Table:
        if data.HasField("writer_schema"):
            self._proto = ProtoRows(data.writer_schema.proto_descriptor)
        if self._proto is None:
            raise InvalidError("The first request must carry the protobuf schema")
        return self._proto.read(data.rows.serialized_rows, self._fields_of(self._streams.get(name)))


def _refused(name: str, error: ApiError) -> Any:
    answer = types.AppendRowsResponse.pb()(write_stream=name)
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message)
    known = STORAGE_ERRORS.get(type(error))
    if known is not None:
        detail = types.StorageError.pb()(
            code=types.StorageError.StorageErrorCode[known], entity=name, error_message=error.message
        )
        status.details.add().Pack(detail)
    answer.error.CopyFrom(status)
    return answer


def _stream(stream: Stream) -> Any:
    return types.WriteStream(
        name=stream.name,
        type_=KINDS[stream.kind],
        write_mode=types.WriteStream.WriteMode.INSERT,
        location="us",
    )


def _unary(
    method: Callable[[Any, grpc.ServicerContext], Any], request: Any, response: Any
) -> grpc.RpcMethodHandler:
    def call(message: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(message, context)
        except Exception as error:  # noqa: BLE001  # the client must get a status, whatever it was
            refusal = as_api_error(error)
            context.abort(code_of(refusal), refusal.message)

    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=request.deserialize, response_serializer=response.serialize
    )


def serve(service: WriteService, address: str) -> tuple[grpc.Server, int]:
    """Start the gRPC server.

    Returns:
        The server and the port it got; port 0 means that the address is taken.
    """
    handlers = {
        "CreateWriteStream": _unary(
            service.create_write_stream, types.CreateWriteStreamRequest, types.WriteStream
        ),
        "GetWriteStream": _unary(service.get_write_stream, types.GetWriteStreamRequest, types.WriteStream),
        "FinalizeWriteStream": _unary(
            service.finalize_write_stream, types.FinalizeWriteStreamRequest, types.FinalizeWriteStreamResponse
        ),
        "BatchCommitWriteStreams": _unary(
            service.batch_commit_write_streams,
            types.BatchCommitWriteStreamsRequest,
            types.BatchCommitWriteStreamsResponse,
        ),
        "FlushRows": _unary(service.flush_rows, types.FlushRowsRequest, types.FlushRowsResponse),
        "AppendRows": grpc.stream_stream_rpc_method_handler(
            service.append_rows,
            request_deserializer=types.AppendRowsRequest.pb().FromString,
            response_serializer=lambda m: m.SerializeToString(),
        ),
    }
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(cf.ThreadPoolExecutor(WORKERS, thread_name_prefix="grpc"), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    try:
        port = int(server.add_insecure_port(address))
    except RuntimeError:
        return server, 0
    if port:
        server.start()
    return server, port
