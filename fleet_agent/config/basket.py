"""The scale, and how cameras and weight become one decision."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from fleet_agent.config.kinds import Count, Positive, Share, doc


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleConfig:
    """The load cell and what counts as a weight change."""

    kind: Literal["none", "serial", "script"] = field(
        default="none", metadata=doc("No scale, a serial port, or a file of times and weights.")
    )
    port: str = field(default="", metadata=doc("Serial device, such as `/dev/ttyUSB0`."))
    baud: Count = field(default=9600, metadata=doc("Speed of the serial port in bits per second."))
    script: str = field(
        default="", metadata=doc('CSV file with lines `seconds,grams` for `kind = "script"`.')
    )
    loop: bool = field(default=False, metadata=doc("Play the script again when it ends."))
    settle_s: Positive = field(
        default=0.5, metadata=doc("The weight counts as settled when it was quiet this long.")
    )
    noise_g: Positive = field(
        default=5.0,
        metadata=doc("Standard deviation of a quiet scale, at most. Lower: never settles on a shaky cart."),
    )
    min_change_g: Positive = field(
        default=10.0, metadata=doc("Smallest change that is an event. Lower: drift and bumps become items.")
    )
    range_g: Positive = field(
        default=20000.0,
        metadata=doc("Most that it can weigh. What is a quarter beyond it is no weight: a broken cable."),
    )
    drift_g: Positive = field(
        default=25.0, metadata=doc("Walk of the weight at rest that is reported as drift of the scale.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionConfig:
    """How cameras and weight become one decision."""

    accept_posterior: Share = field(
        default=0.9, metadata=doc("Posterior from which an item is booked; below it the shopper is asked.")
    )
    accept_margin: Share = field(
        default=0.2, metadata=doc("Lead over the second hypothesis that booking needs too.")
    )
    camera_correlation: Share = field(
        default=0.6, metadata=doc("How alike the cameras' errors are: 1 counts all cameras as one.")
    )
    frame_correlation: Share = field(
        default=0.8, metadata=doc("How alike the errors of one camera's frames are: 1 counts all as one.")
    )
    scale_sd_g: Positive = field(
        default=6.0, metadata=doc("Standard deviation of a settled weight change of nothing.")
    )
    weight_outlier_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.02,
        metadata=doc("Share of weight changes that say nothing about the item (a hand on the rim)."),
    )
    weight_range_g: Positive = field(
        default=20000.0, metadata=doc("How far weight changes that say nothing about the item spread.")
    )
    max_quantity: Annotated[int, Meta(ge=1, le=20)] = field(
        default=4, metadata=doc("Most pieces of one item in one movement.")
    )
    unknown_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.02, metadata=doc("Prior share of movements of things that are not in the catalogue.")
    )
    multiple_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.1, metadata=doc("Prior ratio of n + 1 pieces to n pieces.")
    )
    pair_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.01, metadata=doc("Prior share of movements of two different items at once.")
    )
    pair_candidates: Annotated[int, Meta(ge=2, le=20)] = field(
        default=6,
        metadata=doc("Pairs are formed of this many best-looking items. More costs time with its square."),
    )
    shift_share: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.02,
        metadata=doc("Prior share of weight changes without any item, such as a shifted load."),
    )
    shift_sd_g: Positive = field(
        default=8.0,
        metadata=doc("Standard deviation of such a change. Higher: light items pass for a shifted load."),
    )
    removal_leak: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.02,
        metadata=doc("Share of removals of what is not booked in the cart, when all in it is known."),
    )
    open_removal_leak: Annotated[float, Meta(gt=0, lt=1)] = field(
        default=0.3,
        metadata=doc("The same share while an asked item is unconfirmed, or before the first trip."),
    )
    learn_weights: bool = field(
        default=True, metadata=doc("Learn what items weigh from movements confirmed by barcode.")
    )

    def __post_init__(self) -> None:
        """Check what no single setting can.

        Raises:
            ValueError: the shares leave nothing for single items.
        """
        if self.unknown_share + self.pair_share + self.shift_share >= 1.0:
            msg = "unknown_share, pair_share and shift_share together must be below 1"
            raise ValueError(msg)
