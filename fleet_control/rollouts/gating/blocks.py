"""Blocks of event time, and when they are closed. Pure.

A block is closed when nothing in it can change any more: its end, the lag in which labels count, and the lag
in which rows arrive have all passed, by the server's clock and by what ingest has received. Which outcomes
are in it then does not depend on what they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lags:
    """When a block is closed.

    Attributes:
        block_s: Length of a block. Lower costs rows; higher finds harm later.
        label_s: An outcome is fixed so long after its event. Lower misses corrections; higher finds harm
            later.
        arrival_s: Rows may take so long to arrive. Lower loses rows of slow carts; higher finds harm later.
    """

    block_s: int = 60
    label_s: int = 300
    arrival_s: int = 120

    @property
    def total_ms(self) -> int:
        """From the end of a block until it is closed."""
        return (self.label_s + self.arrival_s) * 1000


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a block.

    Attributes:
        events: Item events.
        contradicted: Of them, that a label contradicts.
        timed: Of them, with a decision time.
        slow: Of those, slower than the threshold.
        errors: Of the engine and around it.
        inferences: In which they happened.
    """

    events: int = 0
    contradicted: int = 0
    timed: int = 0
    slow: int = 0
    errors: int = 0
    inferences: int = 0

    def plus(self, other: "Side") -> "Side":
        """Return the sum."""
        return Side(
            self.events + other.events,
            self.contradicted + other.contradicted,
            self.timed + other.timed,
            self.slow + other.slow,
            self.errors + other.errors,
            self.inferences + other.inferences,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """What happened in one block.

    Attributes:
        at_ms: Its begin.
        canary: Carts that run the model.
        control: Carts that run the baseline.
    """

    at_ms: int
    canary: Side = field(default_factory=Side)
    control: Side = field(default_factory=Side)


def closed_until(now_ms: int, received_ms: int | None, lags: Lags) -> int | None:
    """Return the end of the newest closed block; None: ingest has not heard of these carts.

    Args:
        now_ms: The server's time.
        received_ms: When ingest last heard of them.
        lags: See there.
    """
    if received_ms is None:
        return None
    block_ms = lags.block_s * 1000
    sure_ms = min(now_ms, received_ms) - lags.total_ms
    return sure_ms // block_ms * block_ms


def first_block(from_ms: int, lags: Lags) -> int:
    """Return the begin of the first whole block at or after a time."""
    block_ms = lags.block_s * 1000
    return -(-from_ms // block_ms) * block_ms


def joined(parts: Iterable[tuple[int, str, Side]]) -> tuple[Block, ...]:
    """Return blocks in order of time from parts (begin, side, counts)."""
    sides: dict[int, dict[str, Side]] = {}
    for at_ms, name, side in parts:
        block = sides.setdefault(at_ms, {})
        block[name] = block.get(name, Side()).plus(side)
    return tuple(
        Block(at_ms, found.get("canary", Side()), found.get("control", Side()))
        for at_ms, found in sorted(sides.items())
    )
