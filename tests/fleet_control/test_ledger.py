"""The ledger: any order, duplicates and gaps give the watermark of a plain set."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.ingest.ledger import Ledger, MessageKey, SeqSet
from fleet_control.ingest.watermarks import WatermarkDesk
from fleet_protocol.messages import decode_ack
from tests.fleet_control.wire import BOOT, CART, OTHER_BOOT, STORE

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=60)


def watermark_of(settled: set[int]) -> int:
    """Return the highest number with nothing missing below it."""
    mark = -1
    while mark + 1 in settled:
        mark += 1
    return mark


@given(spans)
def test_any_order_of_messages_and_gaps_gives_the_watermark_of_a_plain_set(
    spans: list[tuple[int, int]],
) -> None:
    """The interval set is the set it stands for, however it was built up."""
    seqs, model = SeqSet(), set[int]()
    for low, length in spans:
        seqs.add(low, low + length)
        model |= set(range(low, low + length + 1))

        assert seqs.watermark == watermark_of(model)
        assert [seq in seqs for seq in range(80)] == [seq in model for seq in range(80)]
        ranges = list(seqs.ranges())
        assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(ranges))


@given(st.permutations(range(30)), st.lists(st.integers(0, 29), max_size=20))
def test_a_whole_boot_in_any_order_with_repeats_needs_no_memory(order: list[int], again: list[int]) -> None:
    """Once nothing is missing there is one number and no range."""
    seqs = SeqSet()
    for seq in [*order, *again]:
        seqs.add(seq, seq)

    assert (seqs.watermark, seqs.range_count) == (29, 0)


def test_a_gap_of_a_billion_messages_costs_one_range() -> None:
    """A cart cannot fill our memory by declaring a huge gap."""
    seqs = SeqSet()
    seqs.add(5, 10**9)

    assert (seqs.range_count, 10**8 in seqs, 4 in seqs) == (1, True, False)


def test_channels_and_boots_are_counted_apart() -> None:
    """The identity has every part in it."""
    ledger = Ledger()
    ledger.settle(CART, BOOT, "tel", 0, 4)

    assert MessageKey(CART, BOOT, "tel", 4) in ledger
    for other in (
        MessageKey("c99", BOOT, "tel", 4),
        MessageKey(CART, OTHER_BOOT, "tel", 4),
        MessageKey(CART, BOOT, "evt", 4),
    ):
        assert other not in ledger


def test_the_longest_silent_boots_are_forgotten_and_the_ledger_says_so() -> None:
    """Memory is bounded; whoever asks about an unknown boot afterwards has to look it up."""
    ledger = Ledger(max_boots=2)
    for cart in ("a", "b", "c"):
        ledger.settle(cart, BOOT, "tel", 0, 0)
    ledger.settle("a", BOOT, "tel", 1, 1)

    assert ledger.evict() == 1

    assert [ledger.knows(c, BOOT) for c in "abc"] == [True, False, True]
    assert ledger.has_forgotten


def test_boots_of_the_batch_in_hand_are_never_forgotten() -> None:
    """Eviction between plan and settlement would make duplicates."""
    ledger = Ledger(max_boots=1)
    for cart in ("a", "b", "c"):
        ledger.settle(cart, BOOT, "tel", 0, 0)

    ledger.evict(keep={("a", BOOT), ("b", BOOT)})

    assert ledger.knows("a", BOOT)
    assert ledger.knows("b", BOOT)


def test_many_ranges_make_boots_be_forgotten_too() -> None:
    """A boot with holes everywhere is bounded by ranges, not by boots."""
    ledger = Ledger(max_ranges=10)
    for seq in range(1, 101, 2):
        ledger.settle("holes", BOOT, "tel", seq, seq)

    ledger.evict()

    assert ledger.missing_ranges() == 0


def test_a_cart_is_told_its_boots_newest_first_and_not_before_the_interval_is_over() -> None:
    """Watermarks are coalesced per cart."""
    ledger, desk = Ledger(), WatermarkDesk(interval_s=1.0)
    ledger.settle(CART, BOOT, "tel", 0, 9)
    ledger.settle(CART, OTHER_BOOT, "evt", 0, 2)
    desk.touch(STORE, CART, BOOT)
    desk.touch(STORE, CART, OTHER_BOOT)

    [(topic, payload)] = desk.due(ledger, 100.0)
    desk.touch(STORE, CART, OTHER_BOOT)

    assert topic == f"fleet/v1/{STORE}/{CART}/ack"
    told = [(mark.boot, mark.tel, mark.evt) for mark in decode_ack(payload).acks]
    assert told == [(OTHER_BOOT, None, 2), (BOOT, 9, None)]
    assert list(desk.due(ledger, 100.9)) == []
    assert len(list(desk.due(ledger, 101.1))) == 1
    assert list(desk.due(ledger, 105.0)) == []


def test_no_more_than_eight_boots_are_told() -> None:
    """The contract caps the list; the newest ones count."""
    ledger, desk = Ledger(), WatermarkDesk()
    boots = [f"{n:016x}" for n in range(12)]
    for boot in boots:
        ledger.settle(CART, boot, "tel", 0, 0)
        desk.touch(STORE, CART, boot)

    [(_, payload)] = desk.due(ledger, 1.0)

    assert [mark.boot for mark in decode_ack(payload).acks] == boots[:3:-1]


def test_a_boot_with_nothing_contiguous_is_not_told() -> None:
    """Absent means: delete nothing."""
    ledger, desk = Ledger(), WatermarkDesk()
    ledger.settle(CART, BOOT, "tel", 3, 5)
    desk.touch(STORE, CART, BOOT)

    assert list(desk.due(ledger, 1.0)) == []
