"""Orders and permits, as carts read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_protocol.errors import ProtocolError, SchemaError, TopicError, VersionError
from fleet_protocol.rollouts import (
    Desired,
    Permit,
    decode_desired,
    decode_permit,
    encode_order,
    is_permit_topic,
    permit_topic,
)

DESIRED = Desired(generation=7, model="b" * 16, manifest="2" * 64, rollout="autumn", attempt=2, not_after=9)
PERMIT = Permit(rollout="autumn", generation=3, state="running", until=9)


def test_orders_come_back_as_they_were_sent() -> None:
    """Both messages survive the wire, as plain JSON with their version."""
    assert decode_desired(encode_order(DESIRED)) == DESIRED
    assert decode_permit(permit_topic("autumn"), encode_order(PERMIT)) == PERMIT
    assert encode_order(PERMIT).startswith(b'{"v":1,')


def test_a_permit_counts_on_its_own_topic_only() -> None:
    """The permit of another rollout cannot be slipped in."""
    with pytest.raises(TopicError):
        decode_permit(permit_topic("winter"), encode_order(PERMIT))
    assert is_permit_topic(permit_topic("autumn"))
    assert not is_permit_topic("fleet/v1/rollouts/autumn/state")


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (encode_order(DESIRED).replace(b'"v":1', b'"v":2'), VersionError),
        (encode_order(DESIRED).replace(b'"generation":7', b'"generation":-7'), SchemaError),
        (encode_order(DESIRED).replace(b'"model":"bbbb', b'"model":"../b'), SchemaError),
    ],
)
def test_a_wrong_order_is_refused(payload: bytes, error: type[ProtocolError]) -> None:
    """Another version, a negative number, and a digest that is a path."""
    with pytest.raises(error):
        decode_desired(payload)


@given(st.binary(max_size=200))
def test_nothing_but_a_protocol_error_comes_out(payload: bytes) -> None:
    """Whatever a broker delivers, it is an order or an error of ours."""
    with pytest.raises(ProtocolError):
        decode_desired(payload)
