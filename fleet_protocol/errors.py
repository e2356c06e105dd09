"""Everything that can be wrong with a message on the wire.

    ProtocolError
    ├── TopicError              bad_topic
    ├── OversizedError          oversized
    ├── CodecError              bad_encoding
    │   └── BombError           decompression_bomb
    ├── MalformedError          malformed_json
    ├── VersionError            wrong_version
    ├── SchemaError             bad_schema
    ├── ForeignCartError        foreign_cart
    └── ClockError              absurd_clock

Each class has one `reason`: the code a dead letter is filed under. Codes are part of the
contract: dashboards and alerts select on them, so they are never renamed.
"""

from typing import ClassVar


class ProtocolError(Exception):
    """A message that breaks the contract."""

    reason: ClassVar[str] = "protocol"


class TopicError(ProtocolError):
    """The topic is not one of ours."""

    reason = "bad_topic"

    def __init__(self, topic: str, why: str) -> None:
        super().__init__(f"topic {topic[:200]!r}: {why}")
        self.topic = topic


class OversizedError(ProtocolError):
    """The payload is larger than the contract allows."""

    reason = "oversized"

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"payload of {size_bytes} bytes is over the limit of {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class CodecError(ProtocolError):
    """The payload is neither JSON nor a readable zstd frame."""

    reason = "bad_encoding"


class BombError(CodecError):
    """The payload unpacks to more than the contract allows."""

    reason = "decompression_bomb"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"payload unpacks to more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class MalformedError(ProtocolError):
    """The payload is not one JSON object."""

    reason = "malformed_json"


class VersionError(ProtocolError):
    """The message is of a contract version that this side does not speak."""

    reason = "wrong_version"

    def __init__(self, version: object) -> None:
        super().__init__(f"contract version {version!r:.40} is not spoken here")
        self.version = version


class SchemaError(ProtocolError):
    """A field is missing, of the wrong type, or out of its range."""

    reason = "bad_schema"


class ForeignCartError(ProtocolError):
    """The message names another store or cart than the topic it came on."""

    reason = "foreign_cart"

    def __init__(self, topic_name: str, message_name: str) -> None:
        super().__init__(f"topic of {topic_name!r} carries a message of {message_name[:100]!r}")
        self.topic_name = topic_name
        self.message_name = message_name


class ClockError(ProtocolError):
    """The cart's clock is too far from the server's to file the message under a day."""

    reason = "absurd_clock"

    def __init__(self, cart_ms: int, received_ms: int) -> None:
        super().__init__(f"cart clock says {cart_ms} ms, received at {received_ms} ms")
        self.cart_ms = cart_ms
        self.received_ms = received_ms
