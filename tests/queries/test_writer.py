"""The writer: against a service that misbehaves as told, and against the real endpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pytest

from queries.client import open_warehouse
from queries.errors import AppendRefusedError, AppendUnavailableError
from queries.question import Query
from queries.schema import apply_schema
from queries.target import Target
from queries.writer import Appender, AppendTicket, MemoryAppender, open_appender, stream
from queries.writer.batches import MAX_REQUEST_BYTES
from tests.queries import seed
from tests.queries.conftest import EmulatorProcess
from tests.queries.write_server import MisbehavingServer

WAIT_S = 30.0


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    """A service to be told what goes wrong."""
    made = MisbehavingServer()
    yield made
    made.stop()


@pytest.fixture
def appender(server: MisbehavingServer) -> Iterator[Appender]:
    """The real writer on that service."""
    address = f"127.0.0.1:{server.port}"
    made = open_appender(Target("p", "d", "http://unused:1", address))
    yield made
    made.close()


def rows(*values: int) -> pa.Table:
    """Return a table of one column."""
    return pa.table({"n": pa.array(values, pa.int64())})


def settled(tickets: list[AppendTicket]) -> list[str]:
    """Return how each append went."""
    found = []
    for ticket in tickets:
        try:
            found.append("durable" if ticket.wait(WAIT_S) else "open")
        except (AppendRefusedError, AppendUnavailableError) as error:
            found.append("refused" if isinstance(error, AppendRefusedError) else "unavailable")
    return found


def test_appends_are_pipelined_in_order(server: MisbehavingServer, appender: Appender) -> None:
    """Twenty appends go over one connection and one stream, and arrive in order."""
    tickets = [appender.append("t", rows(2 * n, 2 * n + 1)) for n in range(20)]
    assert set(settled(tickets)) == {"durable"}
    assert server.rows == list(range(40))
    assert (server.streams, server.connections) == (1, 1)


def test_a_ticket_wakes_at_once(server: MisbehavingServer, appender: Appender) -> None:
    """An append is not noticed half a second late, as it would be by polling the client's future."""
    assert appender.append("t", rows(0)).wait(WAIT_S)
    began_s = time.monotonic()
    for n in range(1, 21):
        assert appender.append("t", rows(n)).wait(WAIT_S)
    # Twenty polls would take ten seconds; this leaves room for a busy machine.
    assert time.monotonic() - began_s < 5
    assert server.connections == 1


def test_a_lost_request_is_sent_again(server: MisbehavingServer, appender: Appender) -> None:
    """A connection that breaks before the rows are stored costs nothing but time."""
    server.faults.extend(["", "drop", "drop"])
    tickets = [appender.append("t", rows(n)) for n in range(6)]
    assert set(settled(tickets)) == {"durable"}
    assert server.rows == list(range(6))
    assert server.streams == 1


def test_a_lost_answer_is_no_duplicate(server: MisbehavingServer, appender: Appender) -> None:
    """Rows that were stored before the connection broke are recognised: "already exists" is a delivery."""
    server.faults.extend(["", "lose answer", "lose answer"])
    tickets = [appender.append("t", rows(n)) for n in range(6)]
    assert set(settled(tickets)) == {"durable"}
    assert server.rows == list(range(6))
    assert server.streams == 1


def test_already_exists_on_a_first_send_is_no_delivery(server: MisbehavingServer, appender: Appender) -> None:
    """If somebody else wrote into our stream, our rows go into a new one instead of being lost."""
    assert settled([appender.append("t", rows(0))]) == ["durable"]
    server.foreign_rows(1)
    assert settled([appender.append("t", rows(1))]) == ["durable"]
    assert server.rows == [0, 1]
    assert server.streams == 2


@pytest.mark.parametrize("fault", ["", "hang up on it"])
def test_refused_rows_take_nothing_with_them(
    server: MisbehavingServer, appender: Appender, fault: str
) -> None:
    """Of six appends in flight the bad one is refused, whole; the others become durable in order."""
    server.refused_value = 2
    server.faults.extend([fault] * 12)
    tickets = [appender.append("t", rows(n, n + 10)) for n in range(6)]
    assert settled(tickets) == ["durable", "durable", "refused", "durable", "durable", "durable"]
    assert server.rows == [0, 10, 1, 11, 3, 13, 4, 14, 5, 15]


def test_a_missing_table_may_come_later(server: MisbehavingServer, appender: Appender) -> None:
    """Rows of a table that cannot be written are given back, and taken when it can be."""
    server.create_code = grpc.StatusCode.NOT_FOUND
    assert settled([appender.append("t", rows(1))]) == ["unavailable"]
    server.create_code = grpc.StatusCode.PERMISSION_DENIED
    assert settled([appender.append("t", rows(1))]) == ["unavailable"]
    server.create_code = None
    server.faults.append("no table")
    assert settled([appender.append("t", rows(1))]) == ["unavailable"]
    assert settled([appender.append("t", rows(1))]) == ["durable"]
    assert server.rows == [1]


def test_nobody_there_leaves_it_open(server: MisbehavingServer, appender: Appender) -> None:
    """While the service is away a ticket stays open; it is settled when the service is back."""
    server.create_code = grpc.StatusCode.UNAVAILABLE
    ticket = appender.append("t", rows(1))
    assert not ticket.wait(0.3)
    server.create_code = None
    assert settled([ticket]) == ["durable"]


def test_another_schema_gets_another_connection(server: MisbehavingServer, appender: Appender) -> None:
    """A column that appears is written on the same stream."""
    wide = pa.table({"n": pa.array([2], pa.int64()), "extra": pa.array(["x"])})
    tickets = [appender.append("t", part) for part in (rows(1), wide, rows(3))]
    assert set(settled(tickets)) == {"durable"}
    assert server.rows == [1, 2, 3]
    assert (server.streams, server.connections) == (1, 3)


def test_a_rested_connection_is_opened_anew(
    server: MisbehavingServer, appender: Appender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rest the next rows go over a fresh connection, on the same stream."""
    monkeypatch.setattr(stream, "IDLE_S", 0.05)
    monkeypatch.setattr(stream, "LOOK_S", 0.02)
    assert settled([appender.append("t", rows(1))]) == ["durable"]
    deadline_s = time.monotonic() + WAIT_S
    while server.connections < 2 and time.monotonic() < deadline_s:
        assert settled([appender.append("t", rows(2))]) == ["durable"]
        time.sleep(0.2)
    assert server.connections >= 2
    assert server.streams == 1


def test_too_much_for_one_request_is_refused_at_once(appender: Appender) -> None:
    """Rows are never split behind the caller's back."""
    big = pa.table({"payload": pa.array([b"x" * MAX_REQUEST_BYTES], pa.binary())})
    with pytest.raises(AppendRefusedError, match="bytes"):
        appender.append("t", big)


def test_no_rows_are_durable_at_once(server: MisbehavingServer, appender: Appender) -> None:
    """An empty table needs no request."""
    assert settled([appender.append("t", rows())]) == ["durable"]
    assert server.connections == 0


def test_closing_fails_what_is_open(server: MisbehavingServer, appender: Appender) -> None:
    """After close nothing hangs and nothing is taken."""
    server.create_code = grpc.StatusCode.UNAVAILABLE
    ticket = appender.append("t", rows(1))
    appender.close()
    assert settled([ticket]) == ["unavailable"]
    with pytest.raises(AppendUnavailableError):
        appender.append("t", rows(1))


def test_the_double_behaves_alike() -> None:
    """The in-memory writer keeps, refuses, waits and closes as the real one does."""
    double = MemoryAppender()
    double.refuses = lambda _table, part: "bad" if 2 in part["n"].to_pylist() else None
    assert settled([double.append("t", rows(n)) for n in range(4)]) == [
        "durable",
        "durable",
        "refused",
        "durable",
    ]
    double.away.set()
    ticket = double.append("t", rows(9))
    assert not ticket.wait(0)
    double.away.clear()
    double.deliver()
    assert ticket.wait(0)
    assert [row["n"] for row in double.rows("t")] == [0, 1, 3, 9]
    double.close()
    with pytest.raises(AppendUnavailableError):
        double.append("t", rows(1))


def test_rows_survive_a_killed_endpoint(tmp_path: Path) -> None:
    """Appends under way while the endpoint is killed and started again are there once each."""
    emulator = EmulatorProcess(tmp_path / "warehouse")
    ports = [int(address.rsplit(":", 1)[1]) for address in (emulator.rest_url, emulator.grpc_address)]
    target = emulator.target("fleet")
    with open_warehouse(target) as warehouse:
        apply_schema(warehouse)
        appender = open_appender(target)
        events = seed.events(np.random.default_rng(5))
        parts = [events[n : n + 5] for n in range(0, len(events), 5)]
        half = len(parts) // 2
        tickets = [appender.append("events_raw", seed.table(seed.EVENTS, part)) for part in parts[:half]]
        assert tickets[0].wait(WAIT_S)
        emulator.stop(kill=True)
        tickets += [appender.append("events_raw", seed.table(seed.EVENTS, part)) for part in parts[half:]]
        emulator = EmulatorProcess(tmp_path / "warehouse", *ports)
        try:
            assert all(ticket.wait(WAIT_S) for ticket in tickets)
            sql = "SELECT cart_id, seq FROM events_raw WHERE event_at >= '2026-01-01' ORDER BY cart_id, seq"
            found = warehouse.run(Query("test", sql)).frame.to_numpy().tolist()
            assert found == sorted([row["cart_id"], row["seq"]] for row in events)
        finally:
            appender.close()
            emulator.stop()
