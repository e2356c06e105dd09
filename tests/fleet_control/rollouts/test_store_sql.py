"""What only a database that keeps things has to withstand: other programs and writers, torn connections."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from fleet_control.errors import RolloutError, StoreError
from fleet_control.rollouts import events
from fleet_control.rollouts.batch import Batch
from fleet_control.rollouts.events import Candidate
from fleet_control.rollouts.ports import Change
from fleet_control.rollouts.store_sql import engines, open_store
from fleet_control.rollouts.store_sql import store as store_module
from tests.fleet_control.rollouts.conftest import now_ms
from tests.fleet_control.rollouts.test_store import asked, happens, made, started

CLIENTS = 6
PAUSES = 8


def other_program(address: str) -> Engine:
    """Return a way into the database beside ours."""
    return create_engine(address.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)


def run(address: str, *statements: str) -> None:
    """Run statements of another program."""
    with other_program(address).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_a_database_that_is_opened_again_counts_on_from_the_time(sql_address: str) -> None:
    """One that was restored from a backup says nothing that carts and warehouse take for old."""
    first = open_store(sql_address, lambda: 1_000)
    started(first)
    first.close()
    later = open_store(sql_address, lambda: 5_000_000)
    made(later, "winter", 2)
    numbers = [entry.id for entry in later.outbox(limit=100) if entry.rollout_id == "winter"]
    positions = [position for position, entry in later.log_all() if entry.rollout_id == "winter"]
    later.close()
    assert min(*numbers, *positions) > 5_000_000


def test_history_cannot_be_edited_even_in_the_database(sql_address: str) -> None:
    """Whatever another program tries, the database refuses it, and the entries are as they were."""
    store = open_store(sql_address, now_ms)
    started(store)
    store.record_refusal(asked("k"))
    before = (store.log_all(), store.audit())
    attempts = [
        "UPDATE rollout_log SET entry = ''",
        "DELETE FROM rollout_log",
        "UPDATE rollout_commands SET actor = ''",
        "DELETE FROM rollout_commands",
    ]
    if sql_address.startswith("sqlite"):
        values = "VALUES (1, 'autumn', 1, 1, '{}')"
        attempts.append(
            f"INSERT OR REPLACE INTO rollout_log (position, rollout_id, number, at_ms, entry) {values}"
        )
    else:
        attempts += ["TRUNCATE rollout_log", "TRUNCATE rollout_commands"]
    for statement in attempts:
        with pytest.raises(Exception, match="append-only"):
            run(sql_address, statement)
    if sql_address.startswith("sqlite"):
        # A command that is there stays; this one is not an error, as `ON CONFLICT DO NOTHING` is not.
        run(sql_address, "INSERT OR REPLACE INTO rollout_commands SELECT * FROM rollout_commands")
    assert (store.log_all(), store.audit()) == before
    store.close()


def test_rows_of_no_rollout_are_refused(sql_address: str) -> None:
    """An entry, a cart, a gate or an order belongs to a rollout that is there."""
    store = open_store(sql_address, now_ms)
    made(store)
    for table, columns, values in (
        ("rollout_log", "rollout_id, number, at_ms, entry", "'none', 1, 1, ''"),
        (
            "rollout_carts",
            "rollout_id, cart, store, status, active, record",
            "'none', 'c', 's', '', true, ''",
        ),
        ("rollout_gates", "rollout_id, gate, state", "'none', 'g', ''"),
    ):
        # With our own connections: SQLite checks this only where it was asked to.
        with pytest.raises(Exception, match=r"(?i)foreign key"), store._engine.begin() as connection:
            connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"))
    store.close()


def test_controllers_may_start_together_on_an_empty_database(sql_address: str) -> None:
    """One of them makes the tables, and one of them gets the lease."""
    together = threading.Barrier(CLIENTS)
    outcomes: list[str] = []

    def begin(name: str) -> None:
        together.wait(30)
        try:
            store = open_store(sql_address, now_ms)
            lease = store.acquire("rollouts", name, 60)
            store.close()
        except RolloutError as error:
            outcomes.append(str(error))
        else:
            outcomes.append("stands by" if lease is None else "drives")

    threads = [threading.Thread(target=begin, args=(f"c{n}",), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["drives"] + ["stands by"] * (CLIENTS - 1)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE rollout_schema SET version = 99", "version 99"),
        ("DELETE FROM rollout_schema", "version None"),
        ("DROP TABLE rollout_schema", "another program"),
    ],
)
def test_a_database_that_is_not_ours_is_refused(sql_address: str, statement: str, said: str) -> None:
    """A newer one, a broken one, one with tables of the same names: none is guessed at."""
    open_store(sql_address, now_ms).close()
    run(sql_address, statement)
    with pytest.raises(StoreError, match=said):
        open_store(sql_address, now_ms)


def test_what_cannot_be_read_is_an_error_of_ours(sql_address: str) -> None:
    """Another program wrote into the tables: every reader says so, and none falls over."""
    store = open_store(sql_address, now_ms)
    made(store)
    kept = "'x', 'autumn', 'f', 1, 'a', 'nobody', 'pause', '', ''"
    run(
        sql_address,
        "UPDATE rollouts SET head = '{}'",
        "INSERT INTO rollout_carts VALUES ('autumn', 'c', 's', '', true, '[]')",
        "INSERT INTO rollout_gates VALUES ('autumn', 'g', '1')",
        "INSERT INTO rollout_log (rollout_id, number, at_ms, entry) VALUES ('autumn', 2, 1, '{')",
        "INSERT INTO rollout_outbox (rollout_id, rank, kind, effect, manifest, at_ms) "
        "VALUES ('autumn', 0, 'letter', '{}', '', 1)",
        "INSERT INTO rollout_commands "
        f"(key, rollout_id, fingerprint, at_ms, actor, role, action, reason, outcome) VALUES ({kept})",
    )
    for read in (
        lambda: store.head("autumn"),
        store.heads,
        lambda: store.carts("autumn"),
        lambda: store.cart_page("autumn"),
        lambda: store.gates("autumn"),
        lambda: store.log("autumn"),
        store.log_all,
        store.outbox,
        store.audit,
        lambda: store.command("x"),
    ):
        with pytest.raises(StoreError, match="not ours"):
            read()
    store.close()


def test_a_writer_that_never_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has one writer at a time: who cannot have the lock in time is told why, and wrote nothing."""
    address = f"sqlite:///{tmp_path}/rollouts.db"
    store = open_store(address, now_ms)
    loaded = started(store)
    monkeypatch.setattr(engines, "BUSY_S", 0.02)
    with other_program(address).connect() as connection:
        connection.execute(text("UPDATE rollout_gates SET state = ''"))
        with pytest.raises(StoreError, match="another process has been writing"):
            happens(store, loaded, events.Paused(at_ms=9, actor="olga"))
        assert len(store.log("autumn")) == 4
    happens(store, loaded, events.Paused(at_ms=9, actor="olga"))
    assert len(store.log("autumn")) == 5
    store.close()


def test_an_engine_that_never_rests_lets_pauses_go_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both want SQLite's only lock at the same time, again and again: the pause goes first every time."""
    # Much room, and less than a change takes: a pause begins in time on a slow machine too.
    monkeypatch.setattr(store_module, "ROOM_S", 0.03)
    address = f"sqlite:///{tmp_path}/rollouts.db"
    store, driving = open_store(address, now_ms), open_store(address, now_ms)
    busy, mine = made(driving, "busy"), made(store, "mine")
    many = tuple(Candidate("s001", f"c{n:04}", "jetson") for n in range(12_000))
    happens(driving, busy, events.Started(at_ms=2, population=many))
    happens(store, mine, events.Started(at_ms=2, population=(Candidate("s001", "other", "jetson"),)))
    before = store.log_all()[-1][0]
    lease = driving.acquire("rollouts", "a", 60)
    together = threading.Barrier(2, timeout=60)

    def drive() -> None:
        for turn in range(PAUSES):
            batch = Batch(busy, 9)
            batch.add((turns(turn),))
            busy.rollout, version = batch.rollout, busy.rollout.version
            carts = tuple(busy.carts.values())
            driving.commit(Change(busy.rollout, version, (turns(turn),), 9, carts, lease=lease))
            together.wait()

    engine = threading.Thread(target=drive, daemon=True)
    engine.start()
    for turn in range(PAUSES):
        together.wait()
        happens(store, mine, turns(turn))
    engine.join(60)
    written = [entry.rollout_id for _, entry in store.log_all(after=before)]
    assert written == ["busy", "mine"] * PAUSES
    store.close()
    driving.close()


def turns(number: int) -> events.AnyEvent:
    """Return a pause and what ends it, in turns."""
    return (events.Resumed if number % 2 else events.Paused)(at_ms=9, actor="olga")


@pytest.mark.postgresql
def test_a_pause_does_not_wait_for_another_rollouts_carts(postgresql_database: str) -> None:
    """On PostgreSQL, somebody else's great write locks other rows."""
    store = open_store(postgresql_database, now_ms)
    started(store, "busy")
    mine = made(store, "mine")
    happens(store, mine, events.Started(at_ms=2, population=(Candidate("s001", "other", "jetson"),)))
    with other_program(postgresql_database).begin() as connection:
        for table in ("rollouts", "rollout_carts"):
            statement = f"UPDATE {table} SET status = status WHERE rollout_id = 'busy'"
            connection.execute(text(statement))
        happens(store, mine, events.Paused(at_ms=9, actor="olga"))
        assert store.head("mine") == mine.rollout
    store.close()


@pytest.mark.postgresql
def test_a_torn_connection_costs_nothing(postgresql_database: str) -> None:
    """The server ends all our connections; the next call has a new one."""
    store = open_store(postgresql_database, now_ms)
    loaded = started(store)
    run(
        postgresql_database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND datname = current_database()",
    )
    assert store.head("autumn") == loaded.rollout
    store.close()


@pytest.mark.postgresql
def test_nothing_waits_for_ever_on_postgresql(postgresql_database: str) -> None:
    """Every connection brings its limits; a controller that stands still loses the locks it holds."""
    store = open_store(postgresql_database, now_ms)
    wanted = {
        "statement_timeout": "1min",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
        "transaction_isolation": "read committed",
    }
    with store._engine.connect() as connection:
        found = {name: connection.execute(text(f"SHOW {name}")).scalar() for name in wanted}
    assert found == wanted
    store.close()


@pytest.mark.parametrize(
    "address",
    [
        "mysql://u:s3cret@localhost/x",
        "nonsense",
        "postgresql://u:p@localhost:s3cret/x",
        "postgresql://u:s3cret@127.0.0.1:1/none",
        "postgresql://u@127.0.0.1:1/none?password=s3cret",
        "sqlite:////proc/none/rollouts.db",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_database_that_cannot_be_opened_is_named_without_its_password(address: str) -> None:
    """A clear sentence; no secret in it, nor in what caused it."""
    with pytest.raises(StoreError) as caught:
        open_store(address, now_ms)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    """It is named, and not a byte of it changes."""
    path = tmp_path / "letter.db"
    path.write_bytes(b"Dear shop, " * 500)
    with pytest.raises(StoreError, match=r"letter\.db"):
        open_store(f"sqlite:///{path}", now_ms)
    assert path.read_bytes() == b"Dear shop, " * 500
