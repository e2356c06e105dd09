"""One cart: cameras and scale in, item events and telemetry out. Many live in one process."""

from collections.abc import Callable, Sequence

from fleet_agent.config import CartConfig
from fleet_agent.events import ItemEvent, Label
from fleet_agent.perception import ModelManifest, PerceptionEngine
from fleet_agent.ports import CameraSource, Clock, ScaleSource, Transport
from fleet_agent.spool import Spool


class Agent:
    """One cart. No globals: what it needs is handed in, and it closes nothing it did not open.

    Args:
        config: Settings of the cart.
        cameras: Opened and closed by the agent's capture threads; names are unique.
        scale: Opened and closed by the agent's scale thread; None for a cart without scale.
        engine: Ready to run; may be shared by the agents of one process if it is safe to call from
            several threads (the ONNX Runtime engine is). The caller closes it.
        manifest: Of the engine's model.
        spool: Of this cart alone. The caller closes it after `stop`.
        transport: The way to the broker.
        clock: Time.
        on_event: Called with every item event once it is durable in the spool, from the agent's
            thread; must not block.
    """

    def __init__(
        self,
        config: CartConfig,
        *,
        cameras: Sequence[CameraSource],
        scale: ScaleSource | None,
        engine: PerceptionEngine,
        manifest: ModelManifest,
        spool: Spool,
        transport: Transport,
        clock: Clock,
        on_event: Callable[[ItemEvent], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start the threads; returns at once. Cameras and scale are opened by their threads."""
        raise NotImplementedError

    def stop(self, timeout_s: float) -> None:
        """End all threads, write the last window, say farewell to the broker."""
        raise NotImplementedError

    def begin_session(self, session_id: str | None) -> None:
        """Name the shopping trip that coming events belong to; None ends it."""
        raise NotImplementedError

    def record_label(self, label: Label) -> None:
        """Put what a shopper, a barcode or an auditor said about an event into the spool.

        Raises:
            SpoolError: it could not be made durable.
        """
        raise NotImplementedError
