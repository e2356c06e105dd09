"""Messages that cannot be taken: kept with the reason, so that nothing vanishes in silence."""

import hashlib
import re
from collections import OrderedDict

import msgspec
from msgspec import Struct

from fleet_control.ingest.deliveries import Delivery
from fleet_control.ingest.ledger import MessageKey
from fleet_protocol.codec import unpack
from fleet_protocol.errors import ProtocolError, TopicError
from fleet_protocol.limits import MAX_PAYLOAD_BYTES, MAX_SEQ
from fleet_protocol.topics import DATA_CHANNELS, Topic, parse_topic

# Bytes of a payload that are kept: all that the contract lets a cart send, since it may forget them then.
# Larger ones are cut off; their size and digest tell.
MAX_KEPT_BYTES = MAX_PAYLOAD_BYTES
# Characters of a sentence; messages of decoders can quote the input.
MAX_DETAIL_CHARS = 1_000
# Recent letters that a redelivery is compared with; only what was in flight at a crash comes again.
MAX_RECENT = 20_000

REFUSED_BY_WAREHOUSE = "refused_by_warehouse"
_BOOT = re.compile(r"[0-9a-f]{16}\Z")


class DeadLetter(Struct, frozen=True):
    """One row of the table `dead_letters`."""

    received_ms: int
    topic: str
    reason: str
    detail: str
    payload: bytes
    payload_bytes: int
    payload_sha256: str
    store: str | None
    cart: str | None


def dead_letter(delivery: Delivery, reason: str, detail: str) -> DeadLetter:
    """Return the letter for a delivery."""
    topic = _topic_of(delivery)
    return DeadLetter(
        received_ms=delivery.received_ms,
        topic=delivery.topic,
        reason=reason,
        detail=detail[:MAX_DETAIL_CHARS],
        payload=delivery.payload[:MAX_KEPT_BYTES],
        payload_bytes=len(delivery.payload),
        payload_sha256=hashlib.sha256(delivery.payload).hexdigest(),
        store=topic.store if topic else None,
        cart=topic.cart if topic else None,
    )


def readable_key(delivery: Delivery) -> MessageKey | None:
    """Return the identity of a broken message where it can be read and is the topic's own cart.

    With it the watermark can pass the message, or its cart would send it for ever.
    """
    topic = _topic_of(delivery)
    if topic is None or topic.channel not in DATA_CHANNELS:
        return None
    try:
        body = msgspec.json.decode(unpack(delivery.payload))
    except (ProtocolError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict) or (body.get("store"), body.get("cart")) != (topic.store, topic.cart):
        return None
    boot, seq = body.get("boot"), body.get("seq")
    if not (isinstance(boot, str) and _BOOT.match(boot)):
        return None
    if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
        return None
    return MessageKey(topic.cart, boot, topic.channel, seq)


class RecentLetters:
    """Remembers letters by (topic, digest), for those that come again after a crash."""

    def __init__(self, limit: int = MAX_RECENT) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._limit = limit

    def __contains__(self, letter: DeadLetter) -> bool:
        return (letter.topic, letter.payload_sha256) in self._seen

    def add(self, topic: str, payload_sha256: str) -> None:
        """Note that a letter is durable."""
        self._seen[topic, payload_sha256] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)


def _topic_of(delivery: Delivery) -> Topic | None:
    try:
        return parse_topic(delivery.topic)
    except TopicError:
        return None
