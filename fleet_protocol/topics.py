"""Topic names: `fleet/v1/{store}/{cart}/{channel}`."""

import re
from dataclasses import dataclass

from fleet_protocol.errors import TopicError

PREFIX = "fleet/v1"
# Channels that carry sequenced messages of a cart.
DATA_CHANNELS = ("tel", "evt", "upd")
CHANNELS = (*DATA_CHANNELS, "state", "ack", "desired")
# What ingest subscribes to.
INGEST_FILTERS = tuple(f"{PREFIX}/+/+/{channel}" for channel in (*DATA_CHANNELS, "state"))

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of one cart."""

    store: str
    cart: str
    channel: str

    def __str__(self) -> str:
        return f"{PREFIX}/{self.store}/{self.cart}/{self.channel}"


def is_id(text: str) -> bool:
    """Tell whether text may name a store or a cart."""
    return _ID.match(text) is not None


def parse_topic(topic: str) -> Topic:
    """Take a topic apart.

    Raises:
        TopicError: it is not a topic of a cart.
    """
    parts = topic.split("/")
    if len(parts) != 5 or "/".join(parts[:2]) != PREFIX:
        raise TopicError(topic, f"expected {PREFIX}/STORE/CART/CHANNEL")
    store, cart, channel = parts[2:]
    if not (is_id(store) and is_id(cart)):
        raise TopicError(topic, "store and cart are 1 to 32 of a-z 0-9 _ -, a letter or digit first")
    if channel not in CHANNELS:
        raise TopicError(topic, f"channel is one of {', '.join(CHANNELS)}")
    return Topic(store, cart, channel)
