"""Configuration of one cart: one TOML file becomes one frozen value.

Every setting is documented beside its default; `docs/configuration.md` is made from here.
"""

from fleet_agent.config.basket import FusionConfig, ScaleConfig
from fleet_agent.config.cameras import CameraConfig, CaptureConfig
from fleet_agent.config.cart import CartConfig
from fleet_agent.config.delivery import MqttConfig, SpoolConfig, TelemetryConfig
from fleet_agent.config.health import HealthConfig
from fleet_agent.config.model import ModelConfig
from fleet_agent.config.reading import load_config, parse_config
from fleet_agent.config.updates import UpdatesConfig

__all__ = [
    "CameraConfig",
    "CaptureConfig",
    "CartConfig",
    "FusionConfig",
    "HealthConfig",
    "ModelConfig",
    "MqttConfig",
    "ScaleConfig",
    "SpoolConfig",
    "TelemetryConfig",
    "UpdatesConfig",
    "load_config",
    "parse_config",
]
