"""The cart's health: who may ask, and when it helps itself."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from fleet_agent.config.kinds import Count, NotNegative, Positive, Share, doc


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """Health of the cart."""

    host: str = field(
        default="127.0.0.1", metadata=doc("Address on which `/live`, `/ready` and `/metrics` are served.")
    )
    port: Annotated[int, Meta(ge=0, le=65535)] = field(default=0, metadata=doc("Its port; 0 serves nothing."))
    check_s: Positive = field(
        default=1.0, metadata=doc("How often the watchdog looks. Shorter wakes idle carts for nothing.")
    )
    frozen_after_s: NotNegative = field(
        default=12.0,
        metadata=doc(
            "A camera that repeats one picture this long is frozen; 0 never judges. Compressed "
            "streams repeat calm pictures until their next key frame: stay above that."
        ),
    )
    black_below: NotNegative = field(
        default=6.0, metadata=doc("Mean brightness (of 255) below which a picture shows nothing.")
    )
    dark_below: NotNegative = field(
        default=30.0, metadata=doc("Mean brightness (of 255) below which a picture counts as too dark.")
    )
    overexposed_share: Share = field(
        default=0.5, metadata=doc("Share of white pixels from which a picture counts as overexposed.")
    )
    blurred_below: NotNegative = field(
        default=4.0,
        metadata=doc("Sharpness (log2 of the Laplacian's variance) below which a picture counts as blurred."),
    )
    silent_after_s: Positive = field(
        default=20.0, metadata=doc("A camera without a frame for this long is opened again.")
    )
    stuck_source_s: Positive = field(
        default=30.0,
        metadata=doc("A camera or scale whose driver does not return for this long is abandoned."),
    )
    stuck_decider_s: Positive = field(
        default=30.0, metadata=doc("An inference or decision that takes this long restarts the agent.")
    )
    source_restarts: Count = field(
        default=3,
        metadata=doc(
            "Threads per camera or scale that may hang at once; one more, and it is given up for now."
        ),
    )
    crash_starts: Count = field(
        default=5, metadata=doc("Starts without a clean stop from which the cart starts in safe mode.")
    )
    crash_window_s: Positive = field(
        default=600.0,
        metadata=doc("Within this long, or within crash_starts times healthy_after_s, if that is longer."),
    )
    healthy_after_s: Positive = field(
        default=600.0, metadata=doc("A run of this length is healthy: earlier crashes are forgotten.")
    )
    degrade: bool = field(
        default=True, metadata=doc("Look less when the cart is hot, throttled, late or short of memory.")
    )
    hot_c: Positive = field(default=85.0, metadata=doc("Temperature from which the cart looks less."))
    cool_c: Positive = field(default=75.0, metadata=doc("Temperature below which it may look more again."))
    late_share: Positive = field(
        default=1.0,
        metadata=doc("95th percentile of inference over the time between inferences: too slow from here."),
    )
    late_decision_ms: Positive = field(
        default=1500.0, metadata=doc("95th percentile of camera to decision: too late from here.")
    )
    low_memory_bytes: Count = field(
        default=150_000_000, metadata=doc("Free memory of the machine below which the cart looks less.")
    )
    degrade_after_s: Positive = field(
        default=15.0, metadata=doc("Pressure must last this long before the next step down.")
    )
    recover_after_s: Positive = field(
        default=120.0, metadata=doc("Calm must last this long before the next step up. Shorter: it swings.")
    )
