"""Stories about what the cloud asks of carts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_protocol.errors import TopicError
from fleet_protocol.rollouts import (
    Desired,
    Permit,
    decode_desired,
    decode_permit,
    encode_order,
    is_permit_topic,
    permit_topic,
)


@given(
    st.builds(
        Desired, generation=st.integers(0, 2**53 - 1), model=st.just("ab" * 8), manifest=st.just("c" * 64)
    )
)
def test_an_order_is_read_as_it_was_written(order: Desired) -> None:
    """With its version, which a reader asks for, and with all defaults."""
    assert decode_desired(encode_order(order)) == order


def test_a_permit_belongs_to_its_topic() -> None:
    """One that is published elsewhere permits nothing."""
    permit = Permit(rollout="r1", generation=1, state="running", until=5)
    assert decode_permit(permit_topic("r1"), encode_order(permit)) == permit
    assert is_permit_topic(permit_topic("r1"))
    with pytest.raises(TopicError):
        decode_permit(permit_topic("r2"), encode_order(permit))
