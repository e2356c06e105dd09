"""From a configuration to the parts of a running cart: used by the command line, `check` and tests."""

from pathlib import Path

import cv2

from fleet_agent.agent import Agent
from fleet_agent.cameras import make_camera
from fleet_agent.config import CartConfig
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.errors import ManifestError
from fleet_agent.health.process import process_surroundings, safe_config
from fleet_agent.manifest import load_manifest
from fleet_agent.ports import Clock, SystemClock
from fleet_agent.scales import make_scale
from fleet_agent.spool import Spool
from fleet_agent.transport_mqtt import MqttTransport

SHIPPED_MODELS = Path(__file__).parent / "models"


def model_directory(config: CartConfig) -> Path:
    """Return the folder of the model that a cart should run.

    Raises:
        ManifestError: none is named and none is shipped.
    """
    if config.model.directory:
        return Path(config.model.directory)
    shipped = sorted(path.parent for path in SHIPPED_MODELS.glob("*/manifest.json"))
    if not shipped:
        raise ManifestError(f"no model is shipped in {SHIPPED_MODELS}: set model.directory")
    return shipped[0]


def load_model(directory: Path, *, threads: int = 1) -> OnnxRuntimeModel:
    """Load a model's folder and warm it up.

    Raises:
        ManifestError: its manifest is missing or wrong.
        EngineError: its ONNX file is missing, is another one, or does not fit the manifest.
    """
    manifest = load_manifest(directory)
    return OnnxRuntimeModel(directory, manifest, threads=threads)


def client_id(config: CartConfig) -> str:
    """Return how the broker knows a cart: by its id, as access lists of the contract expect."""
    return config.cart


class Cart:
    """One cart as its configuration describes it: opens all its parts, and closes them.

    Args:
        config: Settings.
        clock: Time.

    Raises:
        AgentError: the model, the scale's script, the spool or the broker's password is not usable.
    """

    def __init__(self, config: CartConfig, clock: Clock | None = None) -> None:
        # OpenCV's threads would take turns with the cameras' own on a small processor.
        cv2.setNumThreads(1)
        clock = clock or SystemClock()
        # Before anything that may crash: a loop of crashes ends in safe mode.
        surroundings = process_surroundings(config, clock)
        if surroundings.started is not None and surroundings.started.safe_mode:
            config = safe_config(config)
        transport = MqttTransport(config.mqtt, client_id=client_id(config), clock=clock)
        scale = make_scale(config.scale, clock)
        self._model = load_model(model_directory(config), threads=config.model.threads)
        self._spool = Spool(Path(config.spool.path), config.spool, owner=f"{config.store}/{config.cart}")
        self.agent = Agent(
            config,
            cameras=[make_camera(camera, clock) for camera in config.cameras],
            scale=scale,
            engine=self._model.engine(len(config.cameras)),
            manifest=self._model.manifest,
            spool=self._spool,
            transport=transport,
            clock=clock,
            surroundings=surroundings,
        )

    def start(self) -> None:
        """Start the cart."""
        self.agent.start()

    def stop(self, timeout_s: float) -> None:
        """Stop the cart and close everything."""
        self.agent.stop(timeout_s)
        self._spool.close()
        self._model.close()
