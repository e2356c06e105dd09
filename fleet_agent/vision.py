"""Frames through the network, with every stage timed."""

from collections.abc import Sequence

from fleet_agent.config import CameraConfig, CaptureConfig
from fleet_agent.decoding import decode
from fleet_agent.frame_buffer import Seen
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import Clock
from fleet_agent.preprocess import Preprocessor, is_picture
from fleet_agent.telemetry import Telemetry


class Vision:
    """Looks at up to one frame per camera at once. One thread owns it.

    A batch has a row for each camera. Rows without a frame, because a camera has none or delivers
    something that is no picture, are filled with the pad colour and counted as `padded_slots`; the engine is
    told how many rows hold frames, and one whose batch is free does not compute the others.

    Args:
        engine: The network.
        manifest: Of its model.
        telemetry: Counts queue, preprocess, infer and decode, and the counters above.
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

        A frame that is no picture gets none and is counted as its camera's `drop_decode`.

        Args:
            batch: Frames to look at.
            wanted_s: Since when perception wanted frames: a frame that was kept for later has not
                waited in a queue before that.

        Raises:
            EngineError: the network failed; the frames stay without detections.
        """
        begun_s = self._clock.monotonic_s()
        since_s = min(wanted_s, begun_s)
        took = [("queue", begun_s - max(seen.put_s, since_s)) for seen in batch]
        pictures = self._pictures(batch)
        missing = self._preprocessor.slots - len(pictures)
        if missing > 0:
            self._telemetry.count("padded_slots", missing)
        try:
            if pictures:
                took += self._run(pictures, begun_s)
        finally:
            self._telemetry.times(took)

    def _pictures(self, batch: Sequence[Seen]) -> list[Seen]:
        pictures = [seen for seen in batch if is_picture(seen.frame.pixels)]
        if len(pictures) < len(batch):
            for seen in batch:
                if not is_picture(seen.frame.pixels):
                    seen.detections = ()
                    self._telemetry.count("drop_decode", camera=seen.frame.camera)
        return pictures

    def _run(self, batch: Sequence[Seen], begun_s: float) -> list[tuple[str, float]]:
        """See a batch; returns how long each stage took, in seconds."""
        letterboxes = self._preprocessor.fill([seen.frame.pixels for seen in batch])
        filled_s = self._clock.monotonic_s()
        outputs = self._engine.infer(len(batch))
        inferred_s = self._clock.monotonic_s()
        found = decode(outputs, self._manifest, letterboxes)
        decoded_s = self._clock.monotonic_s()
        for seen, detections in zip(batch, found, strict=True):
            seen.detections = tuple(detections)
        return [
            ("preprocess", filled_s - begun_s),
            ("infer", inferred_s - filled_s),
            ("decode", decoded_s - inferred_s),
        ]


def batch_window_s(cameras: Sequence[CameraConfig], capture: CaptureConfig) -> float:
    """Return the longest wait for the other cameras' frames: half a frame period, and no longer than set.

    Cameras of one rate that run on their own clocks are on average half a period apart: who waits longer
    waits for the next frame and not for this one (NVIDIA's nvstreammux waits a whole period at most).
    """
    longest_s = capture.batch_window_ms / 1000.0
    if not cameras:
        return longest_s
    return min(longest_s, 0.5 / max(camera.fps for camera in cameras))
