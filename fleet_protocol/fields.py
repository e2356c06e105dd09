"""Field types of the messages: what one value may be, checked while decoding."""

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from fleet_protocol.limits import MAX_COUNT, MAX_SEQ

Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z")]
BootId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{12,64}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
RolloutId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
# Tries of one rollout on one cart.
Attempt = Annotated[int, Meta(ge=0, le=1_000)]
# Of the labels that a cart's owner gives it.
LabelName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]
Seq = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
# A sum over millions of hostile windows still fits 64 bits.
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
EpochMs = Annotated[int, Meta(ge=0, le=2**53 - 1)]
# Milliseconds between the base time of an events message and a row: at most ten years.
OffsetMs = Annotated[int, Meta(ge=-315_360_000_000, le=315_360_000_000)]
Probability = Annotated[float, Meta(ge=0, le=1)]
# Free text of a cart is bounded: one message cannot fill a column.
SHORT_TEXT_CHARACTERS = 64
ShortText = Annotated[str, Meta(max_length=SHORT_TEXT_CHARACTERS)]
TEXT_CHARACTERS = 500
Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS)]
# `name` or `name/camera`.
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}(/[a-z0-9][a-z0-9_-]{0,31})?\Z")]
# A pattern costs a microsecond per value, and these come 60 times per message: a choice is ten times
# faster, and the shape of a camera's name is checked once per name (`messages._check_columns`).
CameraName = Annotated[str, Meta(min_length=1, max_length=32)]
if TYPE_CHECKING:
    EventType = str
    Direction = str
    Outcome = str
else:
    EventType = Literal["item", "correction", "scan", "audit"]
    Direction = Literal["add", "remove"]
    Outcome = Literal["accepted", "asked"]
Quantity = Annotated[int, Meta(ge=0, le=1_000)]
# Grams: no cart weighs a tonne.
Grams = Annotated[float, Meta(ge=-1_000_000, le=1_000_000)]
DurationMs = Annotated[float, Meta(ge=0, le=3_600_000)]
