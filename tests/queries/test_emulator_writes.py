"""The Storage Write side of the embedded endpoint, with Google's own stub."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.queries.conftest import PROJECT, EmulatorProcess

F = bigquery.SchemaField
_numbers = itertools.count()
DEADLINE_S = 30.0
Kind = types.WriteStream.Type


class Writes:
    """One table, and what a program needs to append to it."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        options = {"api_endpoint": emulator.rest_url}
        self.client = bigquery.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options=options
        )
        self.channel = grpc.insecure_channel(emulator.grpc_address)
        self.api = BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=self.channel))
        self.dataset = f"writes_{next(_numbers)}"
        self.client.create_dataset(self.dataset)
        schema = [
            F("i", "INT64", "REQUIRED"),
            F("s", "STRING"),
            F("at", "TIMESTAMP"),
            F("l", "INT64", "REPEATED"),
        ]
        self.client.create_table(bigquery.Table(f"{PROJECT}.{self.dataset}.t", schema=schema))
        self.parent = f"projects/{PROJECT}/datasets/{self.dataset}/tables/t"
        self.default = f"{self.parent}/streams/_default"

    def create(self, kind: Any = Kind.COMMITTED) -> str:
        """Make a stream."""
        made = self.api.create_write_stream(parent=self.parent, write_stream=types.WriteStream(type_=kind))
        return str(made.name)

    def open(self, name: str, schema: pa.Schema) -> writer.AppendRowsStream:
        """Connect to a stream."""
        template = types.AppendRowsRequest(write_stream=name)
        template.arrow_rows.writer_schema.serialized_schema = schema.serialize().to_pybytes()
        return writer.AppendRowsStream(self.api, template)

    def values(self, expression: str = "i") -> list[Any]:
        """Read the table back."""
        sql = f"SELECT {expression} FROM {self.dataset}.t ORDER BY i"
        return [row[0] for row in self.client.query_and_wait(sql)]

    def close(self) -> None:
        """Hang up."""
        self.channel.close()
        self.client.close()


@pytest.fixture
def writes(emulator: EmulatorProcess) -> Iterator[Writes]:
    """A table of its own."""
    found = Writes(emulator)
    yield found
    found.close()


def batch(*numbers: int) -> pa.RecordBatch:
    """Build rows."""
    at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    columns = {
        "i": pa.array(numbers, pa.int64()),
        "s": [f"n{n}" for n in numbers],
        "at": pa.array([at] * len(numbers), pa.timestamp("us", "UTC")),
        "l": pa.array([[n, n] for n in numbers], pa.list_(pa.int64())),
    }
    return pa.RecordBatch.from_pydict(columns)


def request(name: str, rows: pa.RecordBatch, offset: int | None = None) -> types.AppendRowsRequest:
    """Build one append."""
    out = types.AppendRowsRequest(write_stream=name)
    out.arrow_rows.rows.serialized_record_batch = rows.serialize().to_pybytes()
    if offset is not None:
        out.offset = offset
    return out


def settle(future: Any) -> Any:
    """Wait for an append without Google's half-second polls; give its response, or raise its error."""
    deadline = time.monotonic() + DEADLINE_S
    while not future.done():
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.001)
    if future.exception() is not None:
        raise future.exception()
    return future.result()


def test_offsets_make_a_retry_safe(writes: Writes) -> None:
    """Rows are visible when acknowledged; a repeated offset already exists, one too far is out of range."""
    name = writes.create()
    stream = writes.open(name, batch(1).schema)
    assert settle(stream.send(request(name, batch(1, 2), 0))).append_result.offset == 0
    assert writes.values() == [1, 2]
    with pytest.raises(api.AlreadyExists):
        settle(stream.send(request(name, batch(1, 2), 0)))
    with pytest.raises(api.OutOfRange):
        settle(stream.send(request(name, batch(9), 7)))
    assert settle(stream.send(request(name, batch(3)))).append_result.offset == 2
    stream.close()
    again = writes.open(name, batch(1).schema)
    with pytest.raises(api.AlreadyExists):
        settle(again.send(request(name, batch(3), 2)))
    assert settle(again.send(request(name, batch(4), 3))).append_result.offset == 3
    again.close()
    assert writes.values() == [1, 2, 3, 4]
    assert writes.values("TO_JSON_STRING(l[OFFSET(1)])") == ["1", "2", "3", "4"]


def test_many_appends_in_flight_keep_their_order(writes: Writes) -> None:
    """Pipelined appends are stored in the order sent, each answered once."""
    name = writes.create()
    stream = writes.open(name, batch(1).schema)
    futures = [stream.send(request(name, batch(*range(n * 50, n * 50 + 50)), n * 50)) for n in range(40)]
    assert [settle(f).append_result.offset for f in futures] == [n * 50 for n in range(40)]
    stream.close()
    assert writes.values() == list(range(2000))


def test_a_finalized_stream_takes_no_more(writes: Writes) -> None:
    """After FinalizeWriteStream the count is known and appends are refused."""
    name = writes.create()
    stream = writes.open(name, batch(1).schema)
    settle(stream.send(request(name, batch(1, 2), 0)))
    assert writes.api.finalize_write_stream(name=name).row_count == 2
    with pytest.raises(api.InvalidArgument, match="finalized"):
        settle(stream.send(request(name, batch(3), 2)))
    stream.close()


def test_pending_rows_appear_all_at_once(writes: Writes) -> None:
    """A pending stream's rows are invisible until BatchCommitWriteStreams."""
    name = writes.create(Kind.PENDING)
    stream = writes.open(name, batch(1).schema)
    settle(stream.send(request(name, batch(1, 2), 0)))
    assert writes.values() == []
    commit = types.BatchCommitWriteStreamsRequest(parent=writes.parent, write_streams=[name])
    with pytest.raises(api.InvalidArgument):
        writes.api.batch_commit_write_streams(commit)
    writes.api.finalize_write_stream(name=name)
    assert writes.api.batch_commit_write_streams(commit).commit_time is not None
    assert writes.values() == [1, 2]
    stream.close()


def test_the_default_stream_takes_rows_without_offsets(writes: Writes) -> None:
    """The _default stream needs no creation; columns may be left out, narrower types are widened."""
    rows = pa.RecordBatch.from_pydict({"i": pa.array([5], pa.int32()), "s": ["x"]})
    stream = writes.open(writes.default, rows.schema)
    settle(stream.send(request(writes.default, rows)))
    with pytest.raises(api.InvalidArgument, match="Offset must not be set"):
        settle(stream.send(request(writes.default, rows, 1)))
    stream.close()
    assert writes.values("s") == ["x"]
    assert writes.api.get_write_stream(name=writes.default).name == writes.default


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"i": [1], "zz": ["no such column"]}, "extra fields: 'zz'"),
        ({"s": ["no i"]}, "Required fields are missing"),
        ({"i": pa.array([None], pa.int64())}, "Required field i cannot be null"),
        ({"i": ["not a number"]}, "does not fit"),
        ({"i": [1.5]}, "does not fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused(writes: Writes, columns: dict[str, Any], message: str) -> None:
    """Wrong rows are INVALID_ARGUMENT with the reason, and nothing of them is stored."""
    rows = pa.RecordBatch.from_pydict(columns)
    stream = writes.open(writes.default, rows.schema)
    with pytest.raises(api.InvalidArgument, match=message):
        settle(stream.send(request(writes.default, rows)))
    stream.close()
    assert writes.values() == []


def test_unknown_tables_and_streams_are_not_found(writes: Writes) -> None:
    """Names that do not exist answer NOT_FOUND, kinds that are not supported UNIMPLEMENTED."""
    with pytest.raises(api.NotFound):
        writes.api.create_write_stream(
            parent=writes.parent + "x", write_stream=types.WriteStream(type_=Kind.COMMITTED)
        )
    with pytest.raises(api.NotFound):
        writes.api.get_write_stream(name=f"{writes.parent}/streams/none")
    with pytest.raises(api.MethodNotImplemented):
        writes.create(Kind.BUFFERED)


def row_class() -> Any:
    """Build a protobuf message class for the table."""
    message = descriptor_pb2.DescriptorProto(name="Row")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind, label) in enumerate(
        [
            ("i", kinds.TYPE_INT64, 1),
            ("s", kinds.TYPE_STRING, 1),
            ("at", kinds.TYPE_INT64, 1),
            ("l", kinds.TYPE_INT64, 3),
        ],
        1,
    ):
        message.field.add(name=name, number=number, type=kind, label=label)
    file = descriptor_pb2.FileDescriptorProto(
        name="t.proto", package="t", message_type=[message], syntax="proto2"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Row"))


def test_protobuf_rows_are_read(writes: Writes) -> None:
    """Programs that send protobuf rows with their descriptor are served as well."""
    made = row_class()
    template = types.AppendRowsRequest(write_stream=writes.default)
    proto = descriptor_pb2.DescriptorProto()
    made.DESCRIPTOR.CopyToProto(proto)
    template.proto_rows.writer_schema.proto_descriptor = proto
    stream = writer.AppendRowsStream(writes.api, template)
    out = types.AppendRowsRequest(write_stream=writes.default)
    out.proto_rows.rows.serialized_rows = [
        made(i=1, s="a", at=1_000_000, l=[1, 2]).SerializeToString(),
        made(i=2).SerializeToString(),
    ]
    settle(stream.send(out))
    stream.close()
    assert writes.values("STRUCT(i, s, UNIX_SECONDS(`at`) AS t, l)") == [
        {"i": 1, "s": "a", "t": 1, "l": [1, 2]},
        {"i": 2, "s": None, "t": None, "l": []},
    ]


def test_queries_and_appends_go_on_side_by_side(writes: Writes) -> None:
    """Readers see whole batches only, while a writer appends and another changes rows."""
    name = writes.create()
    stream = writes.open(name, batch(1).schema)
    pending: list[Callable[[], Any]] = []
    for n in range(30):
        future = stream.send(request(name, batch(*range(n * 10, n * 10 + 10)), n * 10))
        pending.append(lambda f=future: settle(f))  # type: ignore[misc]
        if n % 10 == 5:
            writes.client.query_and_wait(f"UPDATE {writes.dataset}.t SET s = 'seen' WHERE i = 0")
        assert len(writes.values()) % 10 == 0
    for wait in pending:
        wait()
    stream.close()
    assert writes.values() == list(range(300))
