"""Frames through the network, with every stage timed."""

from collections.abc import Sequence

from fleet_agent.decode import decode_center
from fleet_agent.frame_buffer import Seen
from fleet_agent.manifest import CenterDecoder, ModelManifest
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import Clock
from fleet_agent.preprocess import Preprocessor
from fleet_agent.telemetry import Telemetry


class Vision:
    """Looks at up to one frame per camera at once. One thread owns it.

    Args:
        engine: The network.
        manifest: Of its model.
        telemetry: Counts queue, preprocess, infer and decode.
        clock: Time.
    """

    def __init__(
        self,
        engine: PerceptionEngine,
        manifest: ModelManifest,
        *,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._manifest = manifest
        self._preprocessor = Preprocessor(manifest.input, engine.input)
        self._telemetry = telemetry
        self._clock = clock

    def look(self, batch: Sequence[Seen], wanted_s: float) -> None:
        """Fill in the detections of frames, at most one per camera.

        Args:
            batch: Frames to look at.
            wanted_s: Since when perception wanted frames: a frame that was kept for later has not
                waited in a queue before that.

        Raises:
            EngineError: the network failed; the frames stay without detections.
        """
        begun_s = self._clock.monotonic_s()
        for seen in batch:
            self._telemetry.time("queue", begun_s - max(seen.put_s, min(wanted_s, begun_s)))
        letterboxes = self._preprocessor.fill([seen.frame.pixels for seen in batch])
        filled_s = self._clock.monotonic_s()
        outputs = self._engine.infer(len(batch))
        inferred_s = self._clock.monotonic_s()
        spec = self._manifest.decoder
        assert isinstance(spec, CenterDecoder)  # noqa: S101
        found = decode_center(outputs, spec, len(self._manifest.classes), letterboxes)
        decoded_s = self._clock.monotonic_s()
        for seen, detections in zip(batch, found, strict=True):
            seen.detections = tuple(detections)
        self._telemetry.time("preprocess", filled_s - begun_s)
        self._telemetry.time("infer", inferred_s - filled_s)
        self._telemetry.time("decode", decoded_s - inferred_s)
