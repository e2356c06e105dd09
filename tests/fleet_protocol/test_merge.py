"""Merging windows: the step before a full spool drops anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_protocol.merge import merge_windows
from fleet_protocol.messages import Buckets, Window


def window(seq: int, counts: list[int], offset: int = 0, model: str | None = None) -> Window:
    """Build a window of one minute."""
    return Window(
        store="s001",
        cart="s001-c01",
        boot="0" * 16,
        seq=seq,
        fw="0.1.0",
        model=model,
        t0=seq * 60_000,
        t1=(seq + 1) * 60_000,
        hist={"infer": Buckets(offset, counts)},
        sig={"confidence": counts},
        cnt={"item_events": sum(counts)},
        gau={"temp_c": float(seq)},
    )


many = st.lists(
    st.tuples(st.lists(st.integers(0, 99), max_size=6), st.integers(-50, 50)), min_size=1, max_size=6
)


@given(many)
def test_merging_keeps_every_count_and_the_whole_span(rows: list[tuple[list[int], int]]) -> None:
    """Nothing that can be added up is lost."""
    windows = [window(seq, counts, offset) for seq, (counts, offset) in enumerate(rows)]

    merged = merge_windows(windows, seq=99)

    total = sum(sum(counts) for counts, _ in rows)
    assert sum(merged.hist["infer"].n) == sum(merged.sig["confidence"]) == merged.cnt["item_events"] == total
    assert (merged.t0, merged.t1, merged.seq, merged.merged) == (0, len(rows) * 60_000, 99, len(rows))


@given(many)
def test_merging_in_two_steps_equals_merging_at_once(rows: list[tuple[list[int], int]]) -> None:
    """Minutes to hours to days give the same as minutes to days."""
    windows = [window(seq, counts, offset) for seq, (counts, offset) in enumerate(rows)]
    first = merge_windows(windows[: len(windows) // 2 + 1], seq=7)

    assert merge_windows([first, *windows[len(windows) // 2 + 1 :]], seq=9) == merge_windows(windows, seq=9)


def test_windows_of_different_models_are_never_merged() -> None:
    """A latency belongs to the model that produced it."""
    with pytest.raises(ValueError, match="one cart, boot and model"):
        merge_windows([window(0, [1], model="a" * 12), window(1, [1], model="b" * 12)], seq=2)
