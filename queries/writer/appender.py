"""The writer over Google's Storage Write client: one stream per table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pyarrow as pa
from google.auth import exceptions as auth_errors
from google.cloud import bigquery_storage_v1
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

from queries.errors import AppendUnavailableError, ConfigurationError
from queries.target import Target, parse_target
from queries.writer.batches import Ticket, encode
from queries.writer.ports import AppendTicket
from queries.writer.stream import TableStream


class BigQueryAppender:
    """An `Appender` on BigQuery's Storage Write API, with Arrow rows and committed streams.

    Args:
        client: Google's `BigQueryWriteClient`.
        table_path: Gives the name the service uses for a table.
    """

    def __init__(self, client: Any, table_path: Callable[[str], str]) -> None:
        self._client = client
        self._table_path = table_path
        self._streams: dict[str, TableStream] = {}
        self._lock = threading.Lock()
        self._closed = False

    def append(self, table: str, rows: pa.Table) -> AppendTicket:
        """See `Appender`."""
        batch = encode(table, rows)
        if not batch.row_count:
            nothing = Ticket()
            nothing.settle()
            return nothing
        return self._stream(table).append(batch)

    def close(self) -> None:
        """See `Appender`."""
        with self._lock:
            self._closed = True
            streams = list(self._streams.values())
        for stream in streams:
            stream.close()
        self._client.transport.close()

    def _stream(self, table: str) -> TableStream:
        with self._lock:
            if self._closed:
                raise AppendUnavailableError(table, "the appender is closed")
            if table not in self._streams:
                self._streams[table] = TableStream(self._client, table, self._table_path(table))
            return self._streams[table]


def open_appender(target: str | Target) -> BigQueryAppender:
    """Open a writer; nothing is sent yet.

    Args:
        target: See `queries.target`.

    Raises:
        ConfigurationError: the target makes no sense, or there are no credentials for BigQuery.
    """
    parsed = parse_target(target) if isinstance(target, str) else target
    if parsed.grpc_address is not None:
        transport = BigQueryWriteGrpcTransport(channel=grpc.insecure_channel(parsed.grpc_address))
        return BigQueryAppender(
            bigquery_storage_v1.BigQueryWriteClient(transport=transport), parsed.table_path
        )
    try:
        return BigQueryAppender(bigquery_storage_v1.BigQueryWriteClient(), parsed.table_path)
    except auth_errors.DefaultCredentialsError as error:
        raise ConfigurationError(
            "there are no Google Cloud credentials here for the write service"
        ) from error
