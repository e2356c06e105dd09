"""Pairs of carts: when they are compared, and what came out.

A pair is compared over a window of the plan's length; the first begins when the stage bakes, and further ones
follow each other. It counts once: in the first window in which both carts had enough events of the right
model. Which window that is depends on how many events there were, never on how they came out. Pairs count in
the order of windows, and of names within one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fleet_control.rollouts.gating.blocks import Timing
from fleet_control.rollouts.gating.source import CartOutcomes, Span
from fleet_control.rollouts.plan import Promotion
from fleet_control.rollouts.rollout import CartRecord, Rollout

Pair = tuple[CartRecord, CartRecord]


@dataclass(frozen=True, slots=True)
class Due:
    """A window that has closed, with the pairs that may count in it.

    Attributes:
        stage: Index of their stage.
        number: Of the window, from 0.
        span: The window, as one block.
        pairs: (canary, control), in the order of names.
    """

    stage: int
    number: int
    span: Span
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """What came out of a window.

    Attributes:
        stage: Index of the stage.
        number: Of the window.
        end_ms: Its end.
        differences: (canary's id, canary's share minus control's), in the order in which they count.
    """

    stage: int
    number: int
    end_ms: int
    differences: tuple[tuple[str, float], ...]


def waiting(
    carts: Mapping[str, CartRecord], counted: Iterable[str], stage: int | None = None
) -> Iterator[Pair]:
    """Yield pairs that have not counted yet, in the order of names."""
    over = set(counted)
    for name in sorted(carts):
        cart = carts[name]
        control = None if cart.pair is None else carts.get(cart.pair)
        if cart.stage is None or control is None or name in over:
            continue
        if stage is None or cart.stage == stage:
            yield cart, control


def due(
    rollout: Rollout,
    carts: Mapping[str, CartRecord],
    promotion: Promotion,
    timing: Timing,
    *,
    counted: Iterable[str],
    windows: Mapping[int, int],
    watermark_ms: int,
) -> Iterator[Due]:
    """Yield the next window of each stage that has closed.

    Args:
        rollout: The head.
        carts: Records.
        promotion: How long a window is.
        timing: How long after its end a window closes.
        counted: Canaries whose pair has counted.
        windows: By stage: how many windows were looked at.
        watermark_ms: Everything received until then is known.
    """
    window_s = max(1, round(promotion.window_s))
    for index, stage in enumerate(rollout.stages):
        if stage.baking_ms is None:
            continue
        number = windows.get(index, 0)
        span = timing.span(stage.baking_ms + number * window_s * 1000, 1, window_s)
        if span.closes_ms > watermark_ms:
            continue
        later = rollout.stages[index + 1].began_ms if index + 1 < len(rollout.stages) else None
        # In the next stage controls become canaries.
        if later is not None and later < span.end_ms:
            continue
        if pairs := tuple(waiting(carts, counted, index)):
            yield Due(index, number, span, pairs)


def compared(due_now: Due, outcomes: Iterable[CartOutcomes], rollout: Rollout, promotion: Promotion) -> Round:
    """Return what came out of a window: pairs with enough events of both carts count."""
    found = {(row.store, row.cart, row.model): row for row in outcomes}
    differences = []
    for canary, control in due_now.pairs:
        left = found.get((canary.store, canary.cart, rollout.plan.model))
        right = found.get((control.store, control.cart, rollout.baseline))
        if left is None or right is None or min(left.events, right.events) < promotion.min_events:
            continue
        differences.append((canary.cart, _share(left) - _share(right)))
    return Round(due_now.stage, due_now.number, due_now.span.end_ms, tuple(differences))


def _share(row: CartOutcomes) -> float:
    return 1.0 - row.contradicted / row.events
