"""Stories about a full disk: what a cart decides meanwhile waits, and is written in order later."""

import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.events import ItemEvent
from fleet_agent.reporter import Reporter
from fleet_agent.telemetry import Telemetry
from fleet_agent.unwritten import MAX_UNWRITTEN
from fleet_agent.wire import Identity
from fleet_protocol.messages import Events, decode_message
from tests.fleet_agent.worlds import CART, OWNER, STORE, SteppedClock, open_spool

# More than any page of the database has left.
MANY = 5_000


def event(number: int, session_id: str | None = None) -> ItemEvent:
    """Return an item event."""
    return ItemEvent(
        event_id=f"e{number}",
        at_ms=1_790_000_000_000,
        session_id=session_id,
        item_id="item-0",
        quantity=1,
        direction="add",
        posterior=0.9,
        top=(("item-0", 0.9),),
        camera_confidence=(("front", 0.9),),
        weight_change_g=150.0,
        weight_residual_g=0.5,
        outcome="accepted",
        decision_ms=60.0,
    )


class Disk:
    """A cart's reporter over a real spool whose file can be kept from growing, as on a full disk."""

    def __init__(self, folder: Path) -> None:
        self.spool = open_spool(folder / "spool.db")
        self.telemetry = Telemetry()
        self.late: list[str] = []
        self.woken = 0
        identity = Identity(
            store=STORE,
            cart=CART,
            boot=self.spool.boot_id,
            fw="t",
            model="ab" * 6,
            sim=True,
            cameras=("front",),
            hw="bench",
        )
        self.reporter = Reporter(
            identity,
            spool=self.spool,
            telemetry=self.telemetry,
            clock=SteppedClock(),
            wake=self._wake,
            on_late=lambda item: self.late.append(item.event_id),
        )
        self._numbers = itertools.count()

    def _wake(self) -> None:
        self.woken += 1

    def fill(self) -> list[str]:
        """Let the file grow no more and write until it is full; return the ids that were written before."""
        self._limit_pages(1)  # SQLite takes the present size for any less
        written: list[str] = []
        for _ in range(MANY):
            item = event(next(self._numbers))
            if not self.reporter.item(item):
                return [*written, item.event_id]
            written.append(item.event_id)
        pytest.fail("the disk does not get full")

    def free(self) -> None:
        """Let it grow again."""
        self._limit_pages(1_000_000)

    def _limit_pages(self, pages: int) -> None:
        self.spool._db.execute(f"PRAGMA max_page_count={pages}")

    def put(self, session_id: str | None = None) -> tuple[str, bool]:
        """Report the next event; return its id and whether it is durable."""
        item = event(next(self._numbers), session_id)
        return item.event_id, self.reporter.item(item)

    def durable(self) -> list[str]:
        """Return the ids in the spool, in order of their numbers."""
        held = self.spool.pending("evt", gaps=False, after_row=0, limit=MANY * 2)
        assert [stored.seq for stored in held] == list(range(len(held)))
        messages = [decode_message(f"fleet/v1/{OWNER}/evt", stored.payload).message for stored in held]
        return [message.cols.id[0] for message in messages if isinstance(message, Events)]

    def counted(self, name: str) -> int:
        """Return a counter since the start."""
        return self.telemetry.totals().counters.get(name, 0)

    @property
    def waiting(self) -> float:
        """The gauge of events that wait."""
        return self.telemetry.totals().gauges["events_unwritten"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk with room."""
    opened = Disk(tmp_path)
    yield opened
    opened.spool.close()


def test_events_of_a_full_disk_are_written_when_there_is_room(disk: Disk) -> None:
    """What was decided while the disk was full is written, in order and once, with the next window."""
    ids = disk.fill()
    ids += [disk.put()[0] for _ in range(10)]
    disk.reporter.close_window()
    assert disk.waiting == 11
    assert disk.durable() == ids[:-11]
    disk.free()
    disk.reporter.close_window()
    assert disk.durable() == ids
    assert disk.late == ids[-11:]
    assert disk.waiting == 0
    assert disk.counted("events_lost") == 0
    assert disk.counted("spool_failed") >= 12


def test_the_next_event_takes_the_waiting_ones_along(disk: Disk) -> None:
    """An event that finds room again is written after those before it, and the transport is woken."""
    ids = disk.fill()
    ids.append(disk.put()[0])
    disk.free()
    woken = disk.woken
    last, durable = disk.put()
    assert durable
    assert disk.durable() == [*ids, last]
    assert disk.late == ids[-2:]
    assert disk.woken == woken + 3


def test_a_disk_that_stays_full_loses_the_oldest_and_says_how_many(disk: Disk) -> None:
    """Memory is bounded: beyond 256 events the oldest that wait are lost, and counted."""
    ids = disk.fill()
    ids += [disk.put()[0] for _ in range(MAX_UNWRITTEN + 4)]
    assert disk.waiting == MAX_UNWRITTEN
    assert disk.counted("events_lost") == 5
    disk.free()
    disk.reporter.close_window()
    written = len(ids) - MAX_UNWRITTEN - 5
    assert disk.durable() == ids[:written] + ids[written + 5 :]


def test_an_event_that_can_never_be_written_holds_up_nobody(disk: Disk) -> None:
    """An event too large for the wire is lost and counted; those behind it are written."""
    monstrous, durable = disk.put(session_id=secrets.token_hex(400_000))
    assert not durable
    after, durable = disk.put()
    assert durable
    assert disk.durable() == [after]
    assert monstrous not in disk.late
    assert (disk.counted("events_lost"), disk.counted("spool_failed")) == (1, 0)


def test_a_listener_that_fails_loses_no_event(disk: Disk) -> None:
    """Somebody else's callback may raise: the waiting events are written all the same."""
    ids = disk.fill()
    disk.late = None  # type: ignore[assignment]  # appending to it raises
    disk.free()
    last, _ = disk.put()
    assert disk.durable() == [*ids, last]
