"""Reading the warehouse back the way a stranger would: Google's own client and nothing of ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.end_to_end.processes import module, running

# Partitioned tables refuse a query without a filter on the partition.
EVER = "TIMESTAMP '2020-01-01'"
RAW = {
    "tel": ("telemetry_raw", "window_start"),
    "evt": ("events_raw", "event_at"),
    "upd": ("updates_raw", "updated_at"),
}


class Reader:
    """Questions to a warehouse."""

    def __init__(self, port: int, project: str, dataset: str = "cartwright") -> None:
        self._client = bigquery.Client(
            project=project,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=f"http://127.0.0.1:{port}"),
        )
        self._config = {"default_dataset": f"{project}.{dataset}"}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        job = bigquery.QueryJobConfig(**self._config)
        return [
            tuple(row.values()) for row in self._client.query_and_wait(sql, job_config=job, api_timeout=30)
        ]

    def count(self, sql: str) -> int:
        """Run a query that returns one number."""
        number: int = self.rows(sql)[0][0]
        return number

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()


@contextmanager
def reading(data_dir: Path, port: int, grpc_port: int, project: str) -> Iterator[Reader]:
    """Serve a warehouse folder again and read it."""
    arguments = ["--data-dir", str(data_dir), "--port", str(port), "--grpc-port", str(grpc_port)]
    with running(module("demo.cli", "bigquery-emulator", *arguments, "--project", project)) as emulator:
        emulator.wait_for("READY")
        reader = Reader(port, project)
        try:
            yield reader
        finally:
            reader.close()


@dataclass(frozen=True, slots=True)
class Sent:
    """What a cart's spool says about one boot and channel.

    Attributes:
        messages: How many were ever numbered.
        item_events: How many item events were in them.
        held: Numbers not yet confirmed by the cloud.
    """

    cart: str
    boot: str
    channel: str
    messages: int
    item_events: int
    held: frozenset[int]


def read_spool(path: Path, cart: str) -> list[Sent]:
    """Read the totals of a spool."""
    with closing(sqlite3.connect(path)) as spool:
        totals = spool.execute("SELECT boot, channel, next_seq, item_events FROM totals").fetchall()
        held = spool.execute(
            "SELECT boot, channel, seq FROM messages JOIN boots ON boots.ix = boot_ix"
        ).fetchall()
    return [
        Sent(
            cart,
            boot,
            channel,
            messages,
            item_events,
            frozenset(seq for b, c, seq in held if (b, c) == (boot, channel)),
        )
        for boot, channel, messages, item_events in totals
    ]


def stored_numbers(reader: Reader, sent: Sent) -> list[int]:
    """Return the sequence numbers in the warehouse, one per message stored, doubles included."""
    table, when = RAW[sent.channel]
    rows = reader.rows(
        f"SELECT seq, row_ix FROM {table} WHERE {when} >= {EVER} AND cart_id = '{sent.cart}'"
        f" AND boot_id = '{sent.boot}' AND channel = '{sent.channel}' ORDER BY seq, row_ix"
    )
    gaps = reader.rows(
        f"SELECT seq FROM gaps_raw WHERE received_at >= {EVER} AND cart_id = '{sent.cart}'"
        f" AND boot_id = '{sent.boot}' AND channel = '{sent.channel}'"
    )
    return sorted([seq for seq, row_ix in rows if row_ix == 0] + [seq for (seq,) in gaps])
