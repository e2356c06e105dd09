"""Closed blocks of event time: how canaries and controls did in each.

The rules:

- a cart is a canary from the begin of its stage, and its rows count if they carry the model; it is a
  control until then, and its rows count if they carry the baseline. So what belongs to a block depends on the
  draw and on what ran, never on how events came out, and another rollout that changes a control takes it out;
- a block is closed once the watermark, up to which everything that was received is known, is past its end
  plus a fixed lag. Then its outcomes are fixed: what comes later does not count, in no block;
- blocks follow each other without gap or overlap, so that every event counts once at most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleet_control.rollouts.gating.source import CartErrors, CartOutcomes, Scope, Span
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import CartStatus

# Rows of one answer. More, and an answer takes longer than anybody waits; a rollout of 100,000 carts still
# gets two blocks a look.
MAX_ROWS = 200_000
# Blocks of one look, so that a controller that was away for weeks gets on in steps.
MAX_BLOCKS = 300
# Rows of a past day count whenever they were received: nothing is decided on a day that is still coming in.
PAST_CLOSE_S = 30 * 86_400

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Timing:
    """When blocks close.

    Attributes:
        block_s: Length of a block. Shorter finds harm sooner and asks more often.
        label_lag_s: How long after an event a label still counts: corrections and scans come within
            seconds, audits at the checkout. Longer delays all, shorter loses labels of both sides alike.
        arrival_s: How long after that rows may take to be received. Carts that are offline for longer do not
            count.
        patience_s: How long there may be nothing to count, before that is a verdict of its own.
    """

    block_s: int = 60
    label_lag_s: int = 600
    arrival_s: int = 60
    patience_s: float = 3_600.0

    @property
    def close_s(self) -> int:
        """Lag of a block: from its end until it is closed."""
        return self.label_lag_s + self.arrival_s

    def span(self, start_ms: int, blocks: int, block_s: int | None = None) -> Span:
        """Return consecutive blocks; of another length for windows of pairs and past days."""
        return Span(start_ms, blocks, block_s or self.block_s, self.label_lag_s, self.close_s)

    def past(self, start_ms: int, blocks: int, block_s: int) -> Span:
        """Return blocks of a day that is over: it is taken as it is known now, late rows and all."""
        return Span(start_ms, blocks, block_s, self.label_lag_s, PAST_CLOSE_S)

    def closed(self, start_ms: int, watermark_ms: int, carts: int) -> Span | None:
        """Return the blocks from a time on that are closed, as many as one look may ask for."""
        passed_ms = watermark_ms - self.close_s * 1000 - start_ms
        most = max(1, min(MAX_BLOCKS, MAX_ROWS // max(1, carts)))
        blocks = min(most, passed_ms // (self.block_s * 1000))
        return self.span(start_ms, blocks) if blocks > 0 else None


@dataclass(slots=True)
class Tally:
    """What one side did in a block."""

    events: int = 0
    good: int = 0
    timed: int = 0
    slow: int = 0
    errors: int = 0
    inferences: int = 0


@dataclass(slots=True)
class Shares:
    """Item events of carts whose volume of the day before is known, and that volume.

    Attributes:
        canary: Events of canaries that ran the model throughout the block.
        control: Events of controls.
        canary_past: What those canaries had the day before.
        control_past: What those controls had.
    """

    canary: int = 0
    control: int = 0
    canary_past: int = 0
    control_past: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """One closed block."""

    start_ms: int
    end_ms: int
    canary: Tally = field(default_factory=Tally)
    control: Tally = field(default_factory=Tally)
    shares: Shares = field(default_factory=Shares)


@dataclass(frozen=True, slots=True)
class Membership:
    """Who is a canary and who a control, and since when.

    Attributes:
        model: Digest of canaries.
        baseline: Digest of controls.
        since_ms: By (store, cart): from when on it is a canary; None: not yet.
        done_ms: By (store, cart): since when it is known to run the model; only those that are.
        away: (store, cart) of controls that cannot be expected to tell anything.
    """

    model: str
    baseline: str
    since_ms: Mapping[Key, int | None]
    done_ms: Mapping[Key, int]
    away: frozenset[Key] = frozenset()

    @classmethod
    def of(cls, rollout: Rollout, carts: Iterable[CartRecord]) -> "Membership":
        """Return the membership of a rollout as it is now."""
        since: dict[Key, int | None] = {}
        done, away = {}, set()
        for cart in carts:
            key = (cart.store, cart.cart)
            since[key] = None if cart.stage is None else rollout.stages[cart.stage].began_ms
            if cart.status is CartStatus.DONE:
                done[key] = cart.changed_ms
            elif cart.status in (CartStatus.UNREACHABLE, CartStatus.EXCLUDED):
                away.add(key)
        return cls(rollout.plan.model, rollout.baseline, since, done, frozenset(away))

    @property
    def scope(self) -> Scope:
        """Whose rows matter."""
        return Scope((self.model, self.baseline), tuple(sorted({store for store, _ in self.since_ms})))

    def has_controls(self) -> bool:
        """Whether any cart is still a control."""
        return any(since_ms is None and key not in self.away for key, since_ms in self.since_ms.items())

    def side(self, block: Block, key: Key, model: str) -> Tally | None:
        """Return the side of a block that a cart's rows belong to; None: to neither."""
        if key not in self.since_ms:
            return None
        since_ms = self.since_ms[key]
        if since_ms is None or since_ms >= block.end_ms:
            return block.control if model == self.baseline else None
        return block.canary if model == self.model and since_ms <= block.start_ms else None

    def is_expected(self, block: Block, key: Key, side: Tally) -> bool:
        """Whether a cart of a side should have been at work throughout a block."""
        if side is block.canary:
            return self.done_ms.get(key, block.end_ms) <= block.start_ms
        return key not in self.away


def blocks_of(
    span: Span,
    outcomes: Iterable[CartOutcomes],
    errors: Iterable[CartErrors],
    membership: Membership,
    past: Mapping[Key, int],
) -> tuple[Block, ...]:
    """Put answers about carts together.

    Args:
        span: The blocks.
        outcomes: Item events in them.
        errors: Errors in them.
        membership: Who is what.
        past: Item events of the day before, by cart.
    """
    length_ms = span.block_s * 1000
    starts = range(span.start_ms, span.end_ms, length_ms)
    blocks = tuple(Block(start_ms, start_ms + length_ms) for start_ms in starts)
    for row in outcomes:
        block, key = blocks[row.block], (row.store, row.cart)
        side = membership.side(block, key, row.model)
        if side is None:
            continue
        side.events += row.events
        side.good += row.events - row.contradicted
        side.timed += row.timed
        side.slow += row.slow
        if past.get(key) and membership.is_expected(block, key, side):
            block.shares.canary += row.events * (side is block.canary)
            block.shares.control += row.events * (side is block.control)
    for error in errors:
        side = membership.side(blocks[error.block], (error.store, error.cart), error.model)
        if side is not None:
            side.errors += error.errors
            side.inferences += error.inferences
    for block in blocks:
        _expect(block, membership, past)
    return blocks


def _expect(block: Block, membership: Membership, past: Mapping[Key, int]) -> None:
    for key, volume in past.items():
        is_control = membership.side(block, key, membership.baseline) is block.control
        side = block.control if is_control else membership.side(block, key, membership.model)
        if side is None or not membership.is_expected(block, key, side):
            continue
        if is_control:
            block.shares.control_past += volume
        else:
            block.shares.canary_past += volume
