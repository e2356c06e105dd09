"""The pipeline with doubles: nothing lost, nothing twice, whatever dies and wherever."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fleet_control.ingest.batch import BatchLimits
from fleet_control.ingest.dead_letters import RecentLetters
from fleet_control.ingest.decoding import Rejected, decode
from fleet_control.ingest.ledger import Ledger, MessageKey
from fleet_control.ingest.memory import MemoryBroker, MemoryTransport, MemoryWarehouse
from fleet_control.ingest.metrics import OUTCOMES, IngestMetrics
from fleet_control.ingest.pipeline import Pipeline
from fleet_control.ingest.plan import make_plan
from fleet_protocol.messages import AnyMessage, CartState, Watermark, decode_ack
from tests.fleet_control.wire import (
    BOOT,
    CART,
    OTHER_BOOT,
    STORE,
    delivery,
    envelope,
    events,
    gap,
    held,
    now_ms,
    payload_of,
    raw,
    state,
    topic_of,
    window,
)

TEL = f"fleet/v1/{STORE}/{CART}/tel"
SOON = BatchLimits(wait_s=0.01)
RAW_TABLES = ("telemetry_raw", "events_raw", "gaps_raw", "updates_raw")


class Crash(BaseException):
    """Plays SIGKILL: no handler of ours may catch it and go on."""


class Ingest:
    """One life of an ingest process."""

    def __init__(self, broker: MemoryBroker, warehouse: MemoryWarehouse, limits: BatchLimits = SOON) -> None:
        self.metrics = IngestMetrics()
        self.transport = MemoryTransport(broker, received=self.metrics.received.inc)
        self.broker = broker
        self.pipeline = Pipeline(
            transport=self.transport,
            appender=warehouse,
            history=warehouse,
            metrics=self.metrics,
            limits=limits,
        )

    def run(self) -> "Ingest":
        """Seed and start."""
        self.pipeline.seed()
        self.pipeline.start()
        return self

    def settle(self) -> "Ingest":
        """Wait until everything published is acknowledged."""
        self.transport.deliver()
        until(lambda: not self.broker.unacknowledged and self.pipeline.pending() == 0)
        return self

    def stop(self) -> None:
        """Stop cleanly."""
        assert self.pipeline.stop(10)

    def run_until_death(self) -> None:
        """Run until a `Crash`, or to the end if there is none; also seeding may crash."""
        try:
            self.run()
        except Crash:
            return
        self.transport.deliver()
        until(lambda: not self.pipeline.is_working() or not self.broker.unacknowledged)
        if self.pipeline.is_working():
            self.stop()
        else:
            self.pipeline.stop(0)


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def send(broker: MemoryBroker, *messages: AnyMessage | CartState, channel: str | None = None) -> None:
    """Publish messages as their cart would."""
    for message in messages:
        broker.publish(topic_of(message, channel), payload_of(message))


def keys(warehouse: MemoryWarehouse, *tables: str) -> Counter[tuple[object, ...]]:
    """Count rows by their full identity."""
    names = ("cart_id", "boot_id", "channel", "seq", "row_ix")
    rows = itertools.chain.from_iterable(warehouse.rows(table) for table in tables or RAW_TABLES)
    return Counter(tuple(row[name] for name in names) for row in rows)


def told(broker: MemoryBroker) -> dict[str, Watermark]:
    """Return the watermarks the cart was told, by boot."""
    ack = decode_ack(broker.retained[f"fleet/v1/{STORE}/{CART}/ack"])
    return {mark.boot: mark for mark in ack.acks}


def balance(ingest: Ingest) -> tuple[int, int]:
    """Return both sides of the identity: received, and what became of it."""
    settled = sum(ingest.metrics.outcome(name) for name in OUTCOMES)
    return int(ingest.metrics.value("messages_received_total")), settled + ingest.pipeline.pending()


def test_messages_become_rows_then_ledger_then_acks_then_a_watermark() -> None:
    """The happy path, with every table touched."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    order: list[str] = []
    warehouse.after_append = order.append
    send(broker, state(1), window(0), events(0), events(1))
    ingest = Ingest(broker, warehouse).run().settle()
    ingest.stop()

    assert len(warehouse.rows("telemetry_raw")) == 1
    assert len(warehouse.rows("events_raw")) == 6
    assert len(warehouse.rows("cart_states_raw")) == 1
    assert len(warehouse.rows("ingest_ledger")) == 3
    assert order[-1] == "ingest_ledger"
    assert told(broker)[BOOT] == Watermark(boot=BOOT, tel=0, evt=1)
    assert balance(ingest) == (4, 4)


def test_what_is_not_durable_is_not_acknowledged() -> None:
    """While the warehouse is away nothing is acked; when it is back everything goes on by itself."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    warehouse.away.set()
    send(broker, *(events(seq) for seq in range(50)))
    ingest = Ingest(broker, warehouse).run()
    until(lambda: warehouse.attempts > 0)

    assert len(broker.unacknowledged) == 50
    assert broker.retained == {}

    warehouse.away.clear()
    ingest.settle().stop()
    assert sorted(keys(warehouse).values()) == [1] * 150


def test_a_message_that_comes_twice_is_stored_once_and_acknowledged_twice() -> None:
    """At-least-once delivery plus the key is exactly once."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    send(broker, events(0), events(0), window(0))
    ingest = Ingest(broker, warehouse).run().settle()
    send(broker, events(0), window(0))
    ingest.settle().stop()

    assert set(keys(warehouse).values()) == {1}
    assert ingest.metrics.outcome("duplicate") == 3
    assert balance(ingest) == (5, 5)


def test_an_acknowledgement_of_a_lost_connection_is_dropped_and_the_message_comes_again() -> None:
    """Packet ids are used again on the next connection, so a late ack would hit another message."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    warehouse.away.set()
    send(broker, *(events(seq) for seq in range(5)))
    ingest = Ingest(broker, warehouse).run()
    until(lambda: warehouse.attempts > 0)
    ingest.transport.reconnect()
    warehouse.away.clear()
    ingest.settle().stop()

    assert ingest.transport.stale_acks == 5
    assert set(keys(warehouse).values()) == {1}
    assert balance(ingest) == (10, 10)


APPENDS = ("telemetry_raw", "events_raw", "gaps_raw", "dead_letters", "ingest_ledger", "cart_states_raw")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("table", APPENDS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crash_at_any_append_loses_nothing_and_doubles_nothing(table: str, when: str) -> None:
    """Killed around each append; the next life reads what is durable and takes the rest again."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    send(broker, state(1), window(0), events(0), gap(3, 1, 2), window(4), events(1))
    broker.publish(TEL, b"not json")

    def die(name: str) -> None:
        if name == table:
            raise Crash

    setattr(warehouse, f"{when}_append", die)
    Ingest(broker, warehouse).run_until_death()
    assert broker.unacknowledged
    setattr(warehouse, f"{when}_append", lambda _table: None)
    second = Ingest(broker, warehouse).run().settle()
    second.stop()

    assert set(keys(warehouse).values()) == {1}
    assert len(keys(warehouse)) == 2 + 6 + 1
    assert Counter(r["seq"] for r in warehouse.rows("ingest_ledger")).total() == 5
    assert len(warehouse.rows("dead_letters")) == 1
    assert len(warehouse.rows("cart_states_raw")) <= 2
    assert told(broker)[BOOT] == Watermark(boot=BOOT, tel=4, evt=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([BOOT, OTHER_BOOT])), max_size=40), st.data())
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_any_order_with_repeats_and_crashes_stores_each_message_once(
    sent: list[tuple[int, str]], data: st.DataObject
) -> None:
    """The watermark is that of the set of messages, however many lives it took."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    for seq, boot in sent:
        send(broker, events(seq, rows=2, boot=boot))
    for _ in range(data.draw(st.integers(0, 3))):
        dies_at = data.draw(st.integers(1, 4))
        appends = itertools.count(1)

        def die(_table: str, dies_at: int = dies_at, appends: Iterator[int] = appends) -> None:
            if next(appends) == dies_at:
                raise Crash

        warehouse.after_append = die
        Ingest(broker, warehouse, BatchLimits(rows=4, wait_s=0.01)).run_until_death()
    warehouse.after_append = lambda _table: None
    last = Ingest(broker, warehouse).run().settle()
    last.stop()

    assert set(keys(warehouse)) == {(CART, b, "evt", s, i) for s, b in sent for i in (0, 1)}
    assert set(keys(warehouse).values()) <= {1}
    for boot in {boot for _, boot in sent}:
        numbers = {seq for seq, b in sent if b == boot}
        mark = next(n for n in itertools.count() if n not in numbers) - 1
        assert MessageKey(CART, boot, "evt", max(numbers)) in last.pipeline.memory.ledger
        seen = last.pipeline.memory.ledger.watermark(CART, boot)
        assert (seen.evt if seen else -1) == mark


def wrong(seq: int) -> bytes:
    """Return a message whose version is unknown and whose identity can be read."""
    return raw({**envelope(seq), "v": 9, "kind": "window"})


def refuse_odd_events(table: str, row: dict[str, object]) -> str | None:
    """Refuse every message of events with an odd number."""
    seq = row.get("seq")
    return "too odd" if table == "events_raw" and isinstance(seq, int) and seq % 2 else None


# One time for all copies: a message that is sent again is the same bytes.
BEGAN_MS = now_ms()


def publish_all(broker: MemoryBroker, sent: list[tuple[str, int]], *, again: bool = False) -> None:
    """Publish messages by kind; again: only those that a cart can send again because it numbered them."""
    for kind, n in sent:
        if kind == "events":
            send(broker, events(n, rows=1, t0=BEGAN_MS))
        elif kind == "wrong":
            broker.publish(TEL, wrong(n))
        elif not again:
            broker.publish(TEL, f"nonsense {n}".encode())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["events", "wrong", "nonsense"]), st.integers(0, 7)),
        min_size=1,
        max_size=12,
        unique=True,
    ),
    st.lists(st.tuples(st.sampled_from(["before", "after"]), st.integers(1, 5), st.booleans()), max_size=3),
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_letter_is_filed_once_however_often_ingest_dies(
    sent: list[tuple[str, int]], deaths: list[tuple[str, int, bool]]
) -> None:
    """Killed around any append, with the broker's copies and with the cart's own: one letter, one entry."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    warehouse.refuses = refuse_odd_events
    publish_all(broker, sent)
    for when, dies_at, forgets in deaths:
        appends = itertools.count(1)

        def die(_table: str, dies_at: int = dies_at, appends: Iterator[int] = appends) -> None:
            if next(appends) == dies_at:
                raise Crash

        setattr(warehouse, f"{when}_append", die)
        Ingest(broker, warehouse, BatchLimits(rows=4, wait_s=0.01)).run_until_death()
        setattr(warehouse, f"{when}_append", lambda _table: None)
        if forgets:
            publish_all(broker, sent, again=True)
    last = Ingest(broker, warehouse).run().settle()
    publish_all(broker, sent, again=True)
    last.settle().stop()

    numbered = Counter((kind, n) for kind, n in sent if kind == "wrong" or (kind == "events" and n % 2))
    letters = Counter(row["payload_sha256"] for row in warehouse.rows("dead_letters"))
    assert set(letters.values()) <= {1}
    assert len(letters) == len(numbered) + sum(kind == "nonsense" for kind, _ in sent)
    entries = Counter((row["channel"], row["seq"]) for row in warehouse.rows("ingest_ledger"))
    assert entries == {("tel" if k == "wrong" else "evt", n): 1 for k, n in sent if k != "nonsense"}
    received, became = balance(last)
    assert received == became


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watermark_passes_a_letter_whose_entry_was_never_written() -> None:
    """An ingest that died between a letter and its entry writes the entry when the message comes again."""
    for comes_by in ("broker", "cart"):
        broker, warehouse = MemoryBroker(), MemoryWarehouse()
        broker.publish(TEL, wrong(0))

        def die(table: str) -> None:
            if table == "ingest_ledger":
                raise Crash

        warehouse.before_append = die
        Ingest(broker, warehouse).run_until_death()
        warehouse.before_append = lambda _table: None
        if comes_by == "cart":
            broker.unacknowledged.clear()
            broker.publish(TEL, wrong(0))
        Ingest(broker, warehouse).run().settle().stop()

        assert told(broker)[BOOT].tel == 0
        assert len(warehouse.rows("dead_letters")) == 1


def test_nonsense_said_twice_is_filed_twice_but_retained_nonsense_once() -> None:
    """Without an identity two arrivals are two letters; a retained one arrives at every start."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    for _ in range(2):
        broker.publish(TEL, b"nonsense")
        Ingest(broker, warehouse).run().settle().stop()
    assert len(warehouse.rows("dead_letters")) == 2

    recent = RecentLetters()
    retained = decode(replace(delivery(f"{TEL[:-3]}state", b"nonsense"), retained=True))
    assert isinstance(retained, Rejected)
    assert make_plan([retained], Ledger(), {}, recent).letters == [retained]
    recent.add(retained.letter.topic, retained.letter.payload_sha256)
    assert make_plan([retained], Ledger(), {}, recent).letters == []


def test_one_row_the_warehouse_refuses_is_put_aside_and_the_others_are_stored() -> None:
    """The refusal is narrowed down to its message; the watermark passes it."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    warehouse.refuses = lambda table, row: (
        "row too odd" if table == "events_raw" and row["seq"] == 7 else None
    )
    send(broker, *(events(seq) for seq in range(20)))
    ingest = Ingest(broker, warehouse).run().settle()
    ingest.stop()

    [letter] = warehouse.rows("dead_letters")
    assert (letter["reason"], letter["detail"]) == ("refused_by_warehouse", "row too odd")
    assert len(keys(warehouse)) == 57
    assert told(broker)[BOOT].evt == 19
    assert (ingest.metrics.outcome("stored"), ingest.metrics.outcome("dead_letter")) == (19, 1)
    assert balance(ingest) == (20, 20)


def test_poison_is_put_aside_acknowledged_and_passed_by_the_watermark_where_it_can_be_read() -> None:
    """A message with an absurd clock is settled; one that is not JSON cannot be."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    send(broker, window(0), window(1, t0=now_ms() + 10**9), window(2))
    broker.publish(TEL, b"{")
    broker.publish(TEL, raw({**envelope(3), "v": 9, "kind": "window"}))
    ingest = Ingest(broker, warehouse).run().settle()
    ingest.stop()

    reasons = Counter(row["reason"] for row in warehouse.rows("dead_letters"))
    assert reasons == {"absurd_clock": 1, "malformed_json": 1, "wrong_version": 1}
    assert told(broker)[BOOT].tel == 3
    dispositions = Counter(row["disposition"] for row in warehouse.rows("ingest_ledger"))
    assert dispositions == {"stored": 2, "dead_letter": 2}
    assert balance(ingest) == (5, 5)


def test_a_gap_settles_what_will_never_come_also_after_a_restart() -> None:
    """The watermark passes the gap; a late copy of an evicted message is not stored."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    send(broker, window(0), gap(6, 1, 5), window(3))
    Ingest(broker, warehouse).run().settle().stop()
    assert told(broker)[BOOT].tel == 6

    broker.retained.clear()
    send(broker, window(4), window(7))
    second = Ingest(broker, warehouse).run().settle()
    second.stop()

    assert told(broker)[BOOT].tel == 7
    assert {row["seq"] for row in warehouse.rows("telemetry_raw")} == {0, 7}


def test_a_birth_says_what_the_cart_still_holds_and_lower_numbers_are_settled() -> None:
    """A cart that came before our memory begins would else never get a watermark."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    send(broker, state(5, held=[held(tel=100, evt=7)]), window(100))
    Ingest(broker, warehouse).run().settle().stop()

    assert told(broker)[BOOT] == Watermark(boot=BOOT, tel=100, evt=6)


def test_a_retained_birth_is_stored_once_over_restarts_but_its_word_still_counts() -> None:
    """Every start receives the retained states again."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    for _ in range(3):
        send(broker, state(5, held=[held(tel=10)]))
        life = Ingest(broker, warehouse).run().settle()
        life.stop()
        assert told(broker)[BOOT].tel == 9

    assert len(warehouse.rows("cart_states_raw")) == 1
    assert life.metrics.outcome("duplicate") == 1


def test_a_cart_that_resends_what_is_durable_is_told_again() -> None:
    """Its watermark was lost with a broker: the duplicate brings it back."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    send(broker, window(0))
    Ingest(broker, warehouse).run().settle().stop()
    broker.retained.clear()
    send(broker, window(0))
    Ingest(broker, warehouse).run().settle().stop()

    assert told(broker)[BOOT].tel == 0


def test_a_forgotten_boot_is_looked_up_before_its_messages_are_called_new() -> None:
    """Bounded memory does not cost duplicates."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    ingest = Ingest(broker, warehouse)
    ingest.pipeline.memory.ledger._max_boots = 2
    ingest.run()
    for n in range(5):
        send(broker, events(0, boot=f"{n:016x}"))
        ingest.settle()
    send(broker, *(events(0, boot=f"{n:016x}") for n in range(5)))
    ingest.settle().stop()

    assert len(keys(warehouse)) == 15
    assert set(keys(warehouse).values()) == {1}
    assert ingest.metrics.outcome("duplicate") == 5


def test_stopping_while_the_warehouse_is_away_leaves_everything_with_the_broker() -> None:
    """The drain has a time-out, and what it could not save is not acknowledged."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    warehouse.away.set()
    send(broker, *(events(seq) for seq in range(5)))
    ingest = Ingest(broker, warehouse).run()
    until(lambda: warehouse.attempts > 0)

    assert not ingest.pipeline.stop(0.2)

    assert len(broker.unacknowledged) == 5
    assert keys(warehouse) == {}


def test_a_busy_warehouse_gets_larger_appends() -> None:
    """While one batch is being committed the next one grows."""
    broker, warehouse = MemoryBroker(), MemoryWarehouse()
    warehouse.before_append = lambda _table: time.sleep(0.05)
    ingest = Ingest(broker, warehouse, BatchLimits(rows=3, wait_s=0.0)).run()
    for seq in range(300):
        send(broker, events(seq, rows=1))
        ingest.transport.deliver()
    ingest.settle().stop()

    assert len(keys(warehouse)) == 300
    assert ingest.metrics.value("batch_messages_count") < 150
