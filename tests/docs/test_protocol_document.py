"""The protocol's document is true: its examples, limits and tables are those of the code."""

import json
import re
from pathlib import Path

import pytest

from fleet_protocol import codec, limits
from fleet_protocol.messages import decode_ack, decode_message, decode_state
from fleet_protocol.rollouts import decode_desired, decode_permit, permit_topic
from fleet_protocol.signals import SIGNALS, STAGES

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
CHANNEL = {"window": "tel", "gap": "tel", "events": "evt", "update": "upd"}


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", blocks("json"))
def test_every_example_message_is_accepted_word_for_word(block: str) -> None:
    """A stranger copies the page."""
    body = json.loads(block)

    decoded = decode_message(
        f"fleet/v1/{body['store']}/{body['cart']}/{CHANNEL[body['kind']]}", block.encode()
    )

    assert decoded.message.seq == body["seq"]
    assert decoded.extra == {}


def test_the_examples_of_state_and_ack_are_accepted() -> None:
    """Retained messages too."""
    for block in blocks("state"):
        decode_state("fleet/v1/s001/s001-c01/state", block.encode())
    assert [decode_ack(block.encode()).acks[0].tel for block in blocks("ack")] == [17]


def test_the_limits_on_the_page_are_the_limits_in_the_code() -> None:
    """Numbers are said once in each place and agree."""
    for value in (
        limits.MAX_PAYLOAD_BYTES,
        limits.MAX_DECODED_BYTES,
        limits.MAX_EVENT_ROWS,
        limits.MAX_NAMES,
        limits.MAX_HISTOGRAM_BUCKETS,
        limits.MAX_SIGNAL_BINS,
        limits.MAX_COUNT,
    ):
        assert f"{value:,}" in TEXT
    assert f"dictionary id {codec.dictionary().dict_id()}" in TEXT


def test_every_stage_and_signal_is_on_the_page_with_its_edges() -> None:
    """What carts count is documented to the last edge."""
    for stage in STAGES:
        assert f"| `{stage}` |" in TEXT
    for signal in SIGNALS.values():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{signal.name}"))
        first, second, last = (f"{signal.inner_edges[i]:.2f}" for i in (0, 1, -1))
        edges = [f"{float(edge):.2f}" for edge in re.findall(r"-?\d+(?:\.\d+)?", row.rsplit("|", 2)[1])]
        assert edges == [first, second, last]
        assert ("{camera}" in row) == signal.per_camera


def test_the_examples_of_orders_are_accepted() -> None:
    """What the document shows of `desired` and `permit` is what a cart reads."""
    assert [decode_desired(block.encode()).attempt for block in blocks("desired")] == [1]
    permits = [decode_permit(permit_topic("autumn"), block.encode()) for block in blocks("permit")]
    assert [permit.state for permit in permits] == ["running"]
