"""Stories about jobs of the embedded endpoint: who is stopped, and who is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from queries.emulator.database import Database
from queries.emulator.jobs import Job, Jobs
from queries.emulator.outcome import Outcome

DONE = Outcome("SELECT")
WAIT_S = 20.0
# How long a late interruption dawdles for the next job to begin. It passes only when there is no next job.
DAWDLE_S = 0.5


class DawdlingSession:
    """A session whose interruption is slow to arrive, as that of a thread that lost its turn."""

    def __init__(self) -> None:
        self.running = ""
        self.called = threading.Event()
        self.next_began = threading.Event()
        self.stopped: list[str] = []

    def interrupt(self) -> None:
        """Stop what runs when this arrives."""
        self.called.set()
        self.next_began.wait(DAWDLE_S)
        self.stopped.append(self.running)


def test_a_late_interruption_does_not_stop_the_next_job() -> None:
    """A job that ends by itself while it is being cancelled takes no other job of its thread with it."""
    session = DawdlingSession()
    jobs = Jobs("p", "EU", lambda: session)

    def first(_: Job) -> Outcome:
        session.running = "first"
        assert session.called.wait(WAIT_S)
        return DONE

    def second(_: Job) -> Outcome:
        session.running = "second"
        session.next_began.set()
        return DONE

    one = jobs.start("QUERY", {}, first)
    jobs.cancel(one)
    assert jobs.wait(one, WAIT_S)
    two = jobs.start("QUERY", {}, second)
    assert jobs.wait(two, WAIT_S)
    jobs.close()
    assert session.stopped == ["first"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A warehouse file."""
    opened = Database(tmp_path, threads=1)
    yield opened
    opened.close()


def test_a_cancelled_statement_stops_and_its_session_serves_the_next(database: Database) -> None:
    """A statement without end is stopped each time, and the statements between them are left alone."""
    jobs = Jobs("p", "EU", database.session)
    endless = (
        "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE (a.range * b.range) % 7 = 9"
    )

    def run(sql: str) -> Job:
        def work(_: Job) -> Outcome:
            database.query(sql)
            return DONE

        return jobs.start("QUERY", {}, work)

    for _ in range(10):
        stopped = run(endless)
        jobs.cancel(stopped)
        assert jobs.wait(stopped, WAIT_S)
        assert stopped.error is not None
        assert "cancelled" in stopped.error.message
        left_alone = run("SELECT 1")
        assert jobs.wait(left_alone, WAIT_S)
        assert left_alone.error is None
    jobs.close()


class ClosedSession:
    """A real session that its job has closed before anybody stops it."""

    def __init__(self, database: Database) -> None:
        self._session = database.session().cursor()
        self._session.close()
        self.tried = threading.Event()

    def interrupt(self) -> None:
        """Fail as DuckDB does."""
        self.tried.set()
        self._session.interrupt()


def test_a_session_that_is_closed_already_is_not_stopped_twice(database: Database) -> None:
    """An interruption that meets a closed session is nobody's failure."""
    session = ClosedSession(database)
    with pytest.raises(duckdb.Error):
        session.interrupt()
    session.tried.clear()
    jobs = Jobs("p", "EU", lambda: session)

    def work(_: Job) -> Outcome:
        assert session.tried.wait(WAIT_S)
        return DONE

    job = jobs.start("QUERY", {}, work)
    jobs.cancel(job)
    assert jobs.wait(job, WAIT_S)
    jobs.close()
    assert job.error is None
