"""One cart: all its parts."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from fleet_agent.config.basket import FusionConfig, ScaleConfig
from fleet_agent.config.cameras import CameraConfig, CaptureConfig
from fleet_agent.config.delivery import MqttConfig, SpoolConfig, TelemetryConfig
from fleet_agent.config.health import HealthConfig
from fleet_agent.config.kinds import Id, doc
from fleet_agent.config.model import ModelConfig
from fleet_agent.config.updates import UpdatesConfig
from fleet_protocol.fields import LabelName, ShortText
from fleet_protocol.limits import MAX_LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class CartConfig:
    """One cart."""

    store: Id = field(metadata=doc("Store, 1 to 32 of a-z 0-9 _ -."))
    cart: Id = field(metadata=doc("Cart, unique in the whole fleet, of the same characters."))
    simulated: bool = field(default=False, metadata=doc("Marks everything this cart says as simulated."))
    hardware: Annotated[str, Meta(max_length=64)] = field(
        default="", metadata=doc("What the cart is made of, for people; empty: found out.")
    )
    labels: Annotated[dict[LabelName, ShortText], Meta(max_length=MAX_LABELS)] = field(
        default_factory=dict,
        metadata=doc('What rollouts may choose carts by, as in `labels = { floor = "upper" }`.'),
    )
    model: ModelConfig = field(default_factory=ModelConfig)
    cameras: tuple[CameraConfig, ...] = ()
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    updates: UpdatesConfig = field(default_factory=UpdatesConfig)
