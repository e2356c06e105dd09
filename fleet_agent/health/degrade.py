"""The degrade ladder: under pressure a cart looks less, step by step, and says so.

A pure reducer. Pressure must last before a step down, calm must last longer before a step up, and
between `cool` and `hot` nothing changes: so the level does not swing.

Inference and decisions are not measured in every look: a cart decides when something moves, and from level 2
on it infers only then. Between measurements the last verdict stands: pressure goes on for `HELD_S`, but a
step down takes a measurement; until it was measured calm, what pressed keeps the cart from looking more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

TOP_LEVEL = 3
# A verdict without a new measurement presses this long. Shorter: late decisions of a shopper who takes a
# minute for an item never add up; longer: two of one hour do.
HELD_S = 60.0
# Measured now and then, not in every look.
OCCASIONAL = ("slow", "late")


@dataclass(frozen=True, slots=True)
class Pressure:
    """How hard the cart is pressed. None: this machine does not tell; that neither presses nor calms.

    Attributes:
        temp_c: Hottest sensor.
        throttled: The machine has lowered its clocks by itself.
        infer_share: 95th percentile of inference over the time between inferences.
        decision_ms: 95th percentile of camera to decision.
        memory_bytes: Free memory of the machine.
    """

    temp_c: float | None = None
    throttled: bool | None = None
    infer_share: float | None = None
    decision_ms: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class LadderLimits:
    """When to look less and when to look more again; see the settings of `[health]`.

    Attributes:
        hot_c: Pressed from here.
        cool_c: Calm below.
        late_share: Pressed from here; calm below 45 % of it.
        late_decision_ms: Pressed from here; calm below 70 % of it.
        low_memory_bytes: Pressed below; calm from 150 % of it.
        degrade_after_s: Pressure lasts this long before a step down.
        recover_after_s: Calm lasts this long before a step up.
    """

    hot_c: float = 85.0
    cool_c: float = 75.0
    late_share: float = 1.0
    late_decision_ms: float = 1500.0
    low_memory_bytes: float = 150e6
    degrade_after_s: float = 15.0
    recover_after_s: float = 120.0


class Verdict(Enum):
    """What one measure says."""

    PRESSED = "pressed"
    BETWEEN = "between"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class Held:
    """The last verdict of an occasional measure.

    Attributes:
        verdict: What it was.
        at_s: When it was measured.
    """

    verdict: Verdict
    at_s: float

    def as_of(self, now_s: float) -> Verdict:
        """Return what it says by now."""
        if self.verdict is Verdict.PRESSED and now_s - self.at_s > HELD_S:
            return Verdict.BETWEEN
        return self.verdict


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where the cart stands.

    Attributes:
        level: 0 looks as configured, 3 least.
        pressed_since_s: Pressure without a pause since then; None when there is none.
        calm_since_s: Calm without a pause since then; None when it is not calm.
        held: Last verdicts of the occasional measures.
    """

    level: int = 0
    pressed_since_s: float | None = None
    calm_since_s: float | None = None
    held: Mapping[str, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """One step on the ladder.

    Attributes:
        level: The new one.
        causes: What pressed, such as `hot`; `calm` for a step up.
    """

    level: int
    causes: tuple[str, ...]


# A measure is calm again below this share of where it presses: what hysteresis is made of.
CALM_SHARE = 0.7
# One level up may double the inferences per second, and with them their share of the time.
CALM_INFER_SHARE = 0.45
CALM_MEMORY = 1.5


def climb(
    ladder: Ladder, pressure: Pressure, now_s: float, limits: LadderLimits
) -> tuple[Ladder, Move | None]:
    """Take one look at the pressure; return the ladder after it, and the step if there was one."""
    measured = _verdicts(pressure, limits)
    new = {name: Held(measured[name], now_s) for name in OCCASIONAL if name in measured}
    held = {**ladder.held, **new}
    verdicts = {**{name: one.as_of(now_s) for name, one in held.items()}, **measured}.values()
    causes = tuple(name for name, verdict in measured.items() if verdict is Verdict.PRESSED)
    pressed_since_s = _since(ladder.pressed_since_s, now_s, holds=Verdict.PRESSED in verdicts)
    calm = all(verdict is Verdict.CALM for verdict in verdicts)
    calm_since_s = _since(ladder.calm_since_s, now_s, holds=calm)
    after = Ladder(ladder.level, pressed_since_s, calm_since_s, held)
    if causes and pressed_since_s is not None and now_s - pressed_since_s >= limits.degrade_after_s:
        return _moved(after, +1, now_s, causes)
    if calm_since_s is not None and now_s - calm_since_s >= limits.recover_after_s:
        return _moved(after, -1, now_s, ("calm",))
    return after, None


def _since(before_s: float | None, now_s: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now_s if before_s is None else before_s


def _moved(ladder: Ladder, by: int, now_s: float, causes: tuple[str, ...]) -> tuple[Ladder, Move | None]:
    level = min(TOP_LEVEL, max(0, ladder.level + by))
    # The next step needs its own time: each level must get a chance to help.
    pressed_since_s, calm_since_s = (now_s, None) if by > 0 else (None, now_s)
    after = replace(ladder, level=level, pressed_since_s=pressed_since_s, calm_since_s=calm_since_s)
    return after, Move(level, causes) if level != ladder.level else None


def _verdicts(pressure: Pressure, limits: LadderLimits) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    if pressure.temp_c is not None:
        found["hot"] = _above(pressure.temp_c, limits.hot_c, limits.cool_c)
    if pressure.throttled is not None:
        found["throttled"] = Verdict.PRESSED if pressure.throttled else Verdict.CALM
    if pressure.infer_share is not None:
        found["slow"] = _above(pressure.infer_share, limits.late_share, limits.late_share * CALM_INFER_SHARE)
    if pressure.decision_ms is not None:
        high = limits.late_decision_ms
        found["late"] = _above(pressure.decision_ms, high, high * CALM_SHARE)
    if pressure.memory_bytes is not None:
        low = limits.low_memory_bytes
        found["memory"] = _above(-pressure.memory_bytes, -low, -low * CALM_MEMORY)
    return found


def _above(value: float, high: float, low: float) -> Verdict:
    if value >= high:
        return Verdict.PRESSED
    return Verdict.CALM if value < low else Verdict.BETWEEN
