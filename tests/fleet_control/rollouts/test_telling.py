"""How many messages from the first the broker has, in whatever order it answers."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts.telling import Telling, Tellings


def telling(count: int) -> Telling:
    """Return a call with so many messages."""
    return Telling([(f"topic/{number}", b"x") for number in range(count)])


@given(st.integers(1, 30), st.integers(1, 8), st.data())
def test_messages_go_in_order_within_the_window_and_the_unbroken_beginning_counts(
    count: int, window: int, data: st.DataObject
) -> None:
    """Answers come in any order; what is claimed as told was answered, and everything before it, too."""
    calls, call = Tellings(), telling(count)
    calls.put(call)
    sent: list[int] = []
    open_: set[int] = set()
    answered: set[int] = set()
    while not call.over.is_set():
        while message := calls.take(window):
            _, index, topic, _ = message
            assert topic == f"topic/{index}"
            calls.sent(index + 1, call, index)
            sent.append(index)
            open_.add(index)
        assert len(open_) <= window
        index = data.draw(st.sampled_from(sorted(open_)))
        open_.remove(index)
        answered.add(index)
        calls.answered(index + 1, "")
        assert set(range(call.acknowledged)) <= answered
        assert call.acknowledged not in answered
    assert sent == list(range(count))
    assert call.acknowledged == count


def test_a_refusal_ends_the_call_with_the_topic_and_the_next_call_goes_on() -> None:
    """What comes after a refused message does not count: it is told again."""
    calls, first, second = Tellings(), telling(3), telling(1)
    calls.put(first)
    calls.put(second)
    for packet_id in (1, 2):
        message = calls.take(10)
        assert message is not None
        calls.sent(packet_id, message[0], message[1])
    calls.answered(2, "Not authorized")
    calls.answered(1, "")
    assert (first.over.is_set(), first.acknowledged) == (True, 1)
    assert first.refusal == "topic/1: Not authorized"
    message = calls.take(10)
    assert message is not None
    assert message[0] is second


def test_a_connection_that_breaks_ends_all_calls_and_leaves_nothing_to_send() -> None:
    """Nobody's old order goes out on the next connection."""
    calls, first, second = Tellings(), telling(2), telling(2)
    calls.put(first)
    calls.put(second)
    message = calls.take(10)
    assert message is not None
    calls.sent(1, message[0], message[1])
    calls.lost()
    assert first.over.is_set()
    assert second.over.is_set()
    assert calls.take(10) is None
    assert calls.is_idle()
    calls.answered(1, "")  # of a packet id that means nothing any more
    assert first.acknowledged == 0


def test_nothing_is_told_at_once() -> None:
    """A call without messages is over before it begins."""
    assert telling(0).over.is_set()
