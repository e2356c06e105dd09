"""Stories about the spool: nothing is lost that is not declared, nothing is sent twice as something else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.config import SpoolConfig
from fleet_agent.errors import SpoolError
from fleet_agent.spool import Spool
from fleet_protocol.messages import Ack, AnyMessage, Events, Gap, Watermark, Window, decode_message
from tests.fleet_agent.worlds import OWNER, events, open_spool, window


def put_window(spool: Spool, minute: int = 0, *, frames: int = 1, model: str = "abcdef012345") -> int:
    """Append a window."""
    return spool.append(
        "tel", lambda seq: window(spool.boot_id, seq, minute=minute, frames=frames, model=model)
    )


def put_event(spool: Spool, event_id: str = "e1") -> int:
    """Append an item event."""
    return spool.append("evt", lambda seq: events(spool.boot_id, seq, event_id))


def everything(spool: Spool) -> list[AnyMessage]:
    """Decode all that is held."""
    return [
        decode_message(f"fleet/v1/{OWNER}/{stored.channel}", stored.payload).message
        for channel in ("tel", "evt", "upd")
        for gaps in (True, False)
        for stored in spool.pending(channel, gaps=gaps, after_row=0, limit=100_000)
    ]


def test_numbers_count_up_per_channel(spool: Spool) -> None:
    """Each channel of a boot counts from zero, without holes."""
    assert [put_window(spool) for _ in range(3)] == [0, 1, 2]
    assert [put_event(spool) for _ in range(2)] == [0, 1]
    assert {(m.boot, m.seq) for m in everything(spool) if isinstance(m, Window)} == {
        (spool.boot_id, 0),
        (spool.boot_id, 1),
        (spool.boot_id, 2),
    }


def test_a_failed_message_takes_no_number(spool: Spool) -> None:
    """A message that cannot be built leaves no hole in the numbers."""

    def broken(_: int) -> AnyMessage:
        raise ValueError("no")

    put_event(spool)
    with pytest.raises(ValueError, match="no"):
        spool.append("evt", broken)
    assert put_event(spool) == 1
    assert spool.messages == 2


def test_only_the_watermark_deletes(spool: Spool) -> None:
    """What the cloud's watermark covers is deleted, and not one message more."""
    for i in range(5):
        put_event(spool, f"e{i}")
    put_window(spool)
    assert spool.acknowledge(Ack(acks=[Watermark(boot=spool.boot_id, evt=2)])) == 3
    left = [m for m in everything(spool) if isinstance(m, Events)]
    assert [m.cols.id[0] for m in left] == ["e3", "e4"]
    assert spool.messages == 3


def test_a_watermark_beyond_what_was_given_out_is_not_believed(spool: Spool) -> None:
    """A cloud that confirms what the cart never wrote, or another boot, deletes nothing."""
    put_event(spool)
    put_event(spool)
    assert spool.acknowledge(Ack(acks=[Watermark(boot=spool.boot_id, evt=2)])) == 0
    assert spool.acknowledge(Ack(acks=[Watermark(boot="f" * 16, evt=1)])) == 0
    assert spool.messages == 2


def test_a_restart_keeps_messages_and_is_a_new_boot(tmp_path: Path) -> None:
    """After a restart the old boot's messages are still there and a new boot counts from zero."""
    first = open_spool(tmp_path / "s.db")
    put_event(first, "old")
    first.close()
    second = open_spool(tmp_path / "s.db")
    assert put_event(second, "new") == 0
    assert second.boot_id != first.boot_id
    held = {mark.boot: mark.evt for mark in second.held()}
    assert held == {first.boot_id: 0, second.boot_id: 0}
    assert [t.messages for t in second.totals() if t.channel == "evt"] == [1, 1]
    second.close()


def test_what_is_settled_is_told_even_when_nothing_is_held(spool: Spool) -> None:
    """A cloud that forgot this boot, or never knew it, learns from the birth where to count from."""
    for i in range(3):
        put_event(spool, f"e{i}")
    spool.acknowledge(Ack(acks=[Watermark(boot=spool.boot_id, evt=2)]))

    assert spool.messages == 0
    assert [(mark.boot, mark.evt) for mark in spool.held()] == [(spool.boot_id, 3)]


def test_sessions_count_up_over_restarts(tmp_path: Path) -> None:
    """Each connection's number is one higher, whatever happened between."""
    numbers = []
    for _ in range(3):
        spool = open_spool(tmp_path / "s.db")
        numbers += [spool.next_session(), spool.next_session()]
        spool.close()
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_full_spool_merges_windows_before_it_drops_any(tmp_path: Path) -> None:
    """Windows that were never sent become one, their counts exact, and the merge is declared."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_tel_messages=20))
    for minute in range(21):
        put_window(spool, minute, frames=minute)
    messages = everything(spool)
    windows = [m for m in messages if isinstance(m, Window)]
    gaps = [m for m in messages if isinstance(m, Gap)]
    assert spool.evicted == 0
    assert sum(w.cnt["frames/front"] for w in windows) == sum(range(21))
    assert sum(w.merged for w in windows) == 21
    assert [(g.first, g.last, g.n, g.why) for g in gaps] == [(0, 20, 21, "merged")]
    spool.close()


def test_a_window_that_may_have_arrived_is_never_merged(tmp_path: Path) -> None:
    """What was sent stays as it is: merged, its counts would arrive twice."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_tel_messages=20))
    for minute in range(5):
        put_window(spool, minute)
    spool.mark_sent([stored.row_id for stored in spool.pending("tel", gaps=False, after_row=0, limit=9)])
    for minute in range(5, 21):
        put_window(spool, minute)
    windows = [m for m in everything(spool) if isinstance(m, Window)]
    assert sorted(w.seq for w in windows if w.merged == 1) == [0, 1, 2, 3, 4]
    assert [w.merged for w in windows if w.merged > 1] == [16]
    spool.close()


def test_windows_of_two_models_are_never_merged(tmp_path: Path) -> None:
    """A merged window speaks of one model."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_tel_messages=30))
    for minute in range(31):
        put_window(spool, minute, model="abcdef012345" if minute < 15 else "fedcba543210")
    windows = [m for m in everything(spool) if isinstance(m, Window)]
    assert {w.model: sum(x.merged for x in windows if x.model == w.model) for w in windows} == {
        "abcdef012345": 15,
        "fedcba543210": 16,
    }
    spool.close()


def test_events_are_evicted_last_and_declared(tmp_path: Path) -> None:
    """Events over their own limit lose the oldest; the cloud is told how many and which."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_evt_messages=40))
    for i in range(41):
        put_event(spool, f"e{i}")
    messages = everything(spool)
    gaps = [m for m in messages if isinstance(m, Gap)]
    ids = [m.cols.id[0] for m in messages if isinstance(m, Events)]
    assert len(gaps) == 1
    assert gaps[0].n == spool.evicted == 41 - len(ids)
    assert ids[0] == f"e{gaps[0].last + 1}"
    assert ids[-1] == "e40"
    spool.close()


def test_limits_of_bytes_hold_too(tmp_path: Path) -> None:
    """A class never holds more bytes than it may."""
    spool = open_spool(tmp_path / "s.db", SpoolConfig(max_evt_bytes=5_000))
    for i in range(200):
        put_event(spool, f"e{i}")
        assert spool.size_bytes <= 5_000
    assert spool.evicted > 0
    spool.close()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("window"), st.integers(0, 5)),
        st.tuples(st.just("event"), st.just(0)),
        st.tuples(st.just("send"), st.integers(1, 10)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=120,
)


@settings(max_examples=40, deadline=None)
@given(operations=OPERATIONS, confirm=st.booleans())
def test_every_number_and_every_count_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int]], *, confirm: bool
) -> None:
    """Each number is stored, held, or declared, and no count is lost in silence or doubled."""
    limits = SpoolConfig(max_tel_messages=12, max_evt_messages=12)
    path = tmp_path_factory.mktemp("spool") / "s.db"
    spool = open_spool(path, limits)
    cloud: dict[tuple[str, str, int], AnyMessage] = {}
    covered: dict[tuple[str, str], set[int]] = {}
    frames = 0
    for name, value in operations:
        if name == "window":
            put_window(spool, frames=value + 1)
            frames += value + 1
        elif name == "event":
            put_event(spool)
        elif name == "restart":
            spool.close()
            spool = open_spool(path, limits)
        else:
            _send(spool, cloud, covered, value, confirm=confirm)
    held = {(m.boot, _channel(m, spool), m.seq): m for m in everything(spool)}
    _check_coverage(spool, {**held, **cloud})
    evicted_windows = sum(t.evicted for t in spool.totals() if t.channel == "tel")
    stored = sum(m.cnt["frames/front"] for m in {**held, **cloud}.values() if isinstance(m, Window))
    assert stored <= frames
    if not evicted_windows:
        assert stored == frames
    spool.close()


def _channel(message: AnyMessage, spool: Spool) -> str:
    if isinstance(message, Gap):
        # Which channel a gap speaks of is only on its topic; look it up where it is held.
        for channel in ("tel", "evt"):
            for stored in spool.pending(channel, gaps=True, after_row=0, limit=10_000):
                if (stored.boot, stored.seq) == (message.boot, message.seq):
                    found = decode_message(f"fleet/v1/{OWNER}/{channel}", stored.payload).message
                    if found == message:
                        return channel
    return message.channels[0]


def _send(
    spool: Spool,
    cloud: dict[tuple[str, str, int], AnyMessage],
    covered: dict[tuple[str, str], set[int]],
    limit: int,
    *,
    confirm: bool,
) -> None:
    """Send like the delivery does, gaps first, and confirm what is contiguous."""
    for gaps in (True, False):
        for channel in ("evt", "tel"):
            batch = spool.pending(channel, gaps=gaps, after_row=0, limit=limit)
            spool.mark_sent([stored.row_id for stored in batch])
            for stored in batch:
                message = decode_message(f"fleet/v1/{OWNER}/{channel}", stored.payload).message
                cloud[stored.boot, channel, stored.seq] = message
                seen = covered.setdefault((stored.boot, channel), set())
                seen.add(stored.seq)
                if isinstance(message, Gap):
                    seen.update(range(message.first, message.last + 1))
    if confirm:
        for (boot, channel), seen in covered.items():
            through = -1
            while through + 1 in seen:
                through += 1
            if through >= 0:
                spool.acknowledge(Ack(acks=[Watermark(boot=boot, **{channel: through})]))


def _check_coverage(spool: Spool, known: dict[tuple[str, str, int], AnyMessage]) -> None:
    for total in spool.totals():
        numbers = {seq for boot, channel, seq in known if (boot, channel) == (total.boot, total.channel)}
        for (boot, channel, _), message in known.items():
            if isinstance(message, Gap) and (boot, channel) == (total.boot, total.channel):
                numbers.update(range(message.first, message.last + 1))
        assert numbers == set(range(total.messages))


def test_a_damaged_file_is_moved_aside_and_said(tmp_path: Path) -> None:
    """A file that is no database is kept under another name, and the cart starts with an empty one."""
    path = tmp_path / "s.db"
    path.write_bytes(b"this is not a database" * 1000)
    spool = open_spool(path)
    assert spool.moved_aside == tmp_path / "s.db.damaged-1"
    assert spool.moved_aside.read_bytes().startswith(b"this is not")
    assert put_event(spool) == 0
    spool.close()


def test_a_file_with_damaged_pages_is_moved_aside(tmp_path: Path) -> None:
    """Pages overwritten in the middle are found at the start, not in the middle of a shopping trip."""
    path = tmp_path / "s.db"
    spool = open_spool(path)
    for i in range(400):
        put_event(spool, f"event-with-a-long-name-{i}")
    spool.close()
    document = bytearray(path.read_bytes())
    document[8192:40_000] = b"\xff" * (40_000 - 8192)
    path.write_bytes(bytes(document))
    again = open_spool(path)
    assert again.moved_aside is not None
    assert again.messages == 0
    again.close()


def test_the_spool_of_another_cart_is_moved_aside(tmp_path: Path) -> None:
    """A renamed cart does not send the old one's messages under its own name."""
    path = tmp_path / "s.db"
    Spool(path, SpoolConfig(), owner="s001/other").close()
    spool = open_spool(path)
    assert spool.moved_aside is not None
    spool.close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A spool below a file is a clear error, not a crash."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpoolError, match="file"):
        open_spool(tmp_path / "file" / "s.db")


def test_a_closed_spool_says_so(spool: Spool) -> None:
    """A message after the end is an error of ours, not of SQLite's."""
    spool.close()
    with pytest.raises(SpoolError):
        put_event(spool)
