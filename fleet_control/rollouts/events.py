"""What happened to a rollout: the entries of the append-only log, in the words of JSON.

Each entry is a fact. Applying the entries of a rollout in order gives its state; see `reducer`.
Times are epoch milliseconds of the server.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.states import DeviceState, Verdict

CONTROLLER = "controller"


class Event(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every entry carries.

    Attributes:
        at_ms: When.
        actor: Who: a person, a service, or `controller`.
        reason: Why, in the actor's words.
    """

    at_ms: int
    actor: str = CONTROLLER
    reason: str = ""


class Candidate(Struct, frozen=True, array_like=True):
    """A cart of the target, as it was when the list was frozen."""

    store: str
    cart: str
    hardware: str


class Created(Event, frozen=True, kw_only=True, tag="created"):
    """Somebody wants it.

    Attributes:
        plan: What.
        baseline: Digest that a rollback brings back.
        manifests: sha256 of `manifest.json` by digest, of both models.
    """

    plan: Plan
    baseline: str
    manifests: dict[str, str]


class Approved(Event, frozen=True, kw_only=True, tag="approved"):
    """A second person agrees."""


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """It begins; the target is frozen, in the order of the draw."""

    population: tuple[Candidate, ...]


class StageStarted(Event, frozen=True, kw_only=True, tag="stage_started"):
    """A stage begins; its carts are frozen.

    Attributes:
        stage: Its index.
        carts: Ids of its carts.
        pairs: (canary, control), drawn by lot among carts alike.
        joined: Carts that came after the start, for the tail stage; they are among `carts`.
    """

    stage: int
    carts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    joined: tuple[Candidate, ...] = ()


class StageSkipped(Event, frozen=True, kw_only=True, tag="stage_skipped"):
    """The tail stage has no carts."""

    stage: int


class CartsTold(Event, frozen=True, kw_only=True, tag="carts_told"):
    """Carts are told to install the model; a cart that was told before begins another try.

    Attributes:
        carts: Their ids.
        not_after_ms: End of the maintenance window of each of them; None: any time.
    """

    carts: tuple[str, ...]
    not_after_ms: int | None = None


class CartReported(Event, frozen=True, kw_only=True, tag="cart_reported"):
    """A cart said which step it takes.

    Attributes:
        cart: Its id.
        attempt: Try it belongs to.
        step: Counts up within the try.
        state: The step.
        running: Digest of the model it runs.
        why: Why it failed.
    """

    cart: str
    attempt: int
    step: int
    state: DeviceState
    running: str | None = None
    why: str = ""


class CartSeen(Event, frozen=True, kw_only=True, tag="cart_seen"):
    """Telemetry shows what a cart runs.

    Attributes:
        cart: Its id.
        running: Digest that its newest windows carry.
        windows: How many windows in a row.
        inferences: In them.
    """

    cart: str
    running: str
    windows: int = 0
    inferences: int = 0


class CartTimedOut(Event, frozen=True, kw_only=True, tag="cart_timed_out"):
    """A cart did not get ready in time."""

    cart: str


class CartUnreachable(Event, frozen=True, kw_only=True, tag="cart_unreachable"):
    """A cart has been offline for too long: it leaves the denominator."""

    cart: str


class CartBack(Event, frozen=True, kw_only=True, tag="cart_back"):
    """A cart that was unreachable is online again."""

    cart: str


class CartExcluded(Event, frozen=True, kw_only=True, tag="cart_excluded"):
    """A cart is no longer of the target: retired, or moved to another store.

    Attributes:
        cart: Its id.
        store: Where it is now; None: where it was.
    """

    cart: str
    store: str | None = None


class StageBaking(Event, frozen=True, kw_only=True, tag="stage_baking"):
    """Enough carts of the stage run the model."""

    stage: int


class StageHeld(Event, frozen=True, kw_only=True, tag="stage_held"):
    """The stage waits for a person; the reason says why."""

    stage: int


class StagePassed(Event, frozen=True, kw_only=True, tag="stage_passed"):
    """The stage is over, and the next may begin.

    Attributes:
        stage: Its index.
        by: The gates, a person at the end (approval), or a person before it (early).
    """

    stage: int
    by: Literal["gates", "approval", "early"]


class VerdictGiven(Event, frozen=True, kw_only=True, tag="verdict_given"):
    """A gate changed its mind.

    Attributes:
        stage: Index of the stage that ran.
        gate: accuracy, errors, latency, promotion, sample_ratio, replay, installs.
        verdict: What it says.
        numbers: What it was made of.
        query: Name of the question whose answer it is, with its parameters.
    """

    stage: int
    gate: str
    verdict: Verdict
    numbers: dict[str, Any] = field(default_factory=dict)
    query: str = ""


class Paused(Event, frozen=True, kw_only=True, tag="paused"):
    """Nothing is fetched or put live until it is resumed.

    Attributes:
        automatic: A gate did it.
    """

    automatic: bool = False


class Resumed(Event, frozen=True, kw_only=True, tag="resumed"):
    """It goes on; what was known until then is acknowledged, and only something new pauses it again."""


class RollbackStarted(Event, frozen=True, kw_only=True, tag="rollback_started"):
    """All its carts go back to the baseline.

    Attributes:
        abort: It ends as aborted, not as rolled back.
    """

    abort: bool = False
    automatic: bool = False


class Aborted(Event, frozen=True, kw_only=True, tag="aborted"):
    """It ends here; carts that run the model keep it."""


class RetryAsked(Event, frozen=True, kw_only=True, tag="retry_asked"):
    """Carts that failed get another round of tries.

    Attributes:
        carts: Their ids.
    """

    carts: tuple[str, ...]


class CartsRecalled(Event, frozen=True, kw_only=True, tag="carts_recalled"):
    """Carts are told to go back to the baseline; a cart that was recalled before is told again."""

    carts: tuple[str, ...]


class Finished(Event, frozen=True, kw_only=True, tag="finished"):
    """The last stage passed, or the last cart is back."""

    outcome: Literal["completed", "rolled_back", "aborted"]


AnyEvent = (
    Created
    | Approved
    | Started
    | StageStarted
    | StageSkipped
    | CartsTold
    | CartReported
    | CartSeen
    | CartTimedOut
    | CartUnreachable
    | CartBack
    | CartExcluded
    | StageBaking
    | StageHeld
    | StagePassed
    | VerdictGiven
    | Paused
    | Resumed
    | RollbackStarted
    | Aborted
    | RetryAsked
    | CartsRecalled
    | Finished
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode_event(event: AnyEvent) -> str:
    """Return an entry as JSON."""
    return _encoder.encode(event).decode()


def decode_event(text: str | bytes) -> AnyEvent:
    """Return the entry of a JSON text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoder.decode(text)
