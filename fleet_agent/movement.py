"""Which frames are looked at for one weight change: pure choices over what is buffered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet_agent.basket.evidence import CameraEvidence
from fleet_agent.config import CaptureConfig
from fleet_agent.frame_buffer import FrameBuffer, Seen
from fleet_agent.perception import Detection

# Of a camera's frames for one change, so many are kept for the moment when the weight has settled.
RESERVED_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Span:
    """The time of one movement and the frames around it.

    Attributes:
        first_s: Frames from here on count; never before the end of the previous change.
        onset_s: When the weight began to move.
        last_s: Frames up to here count.
    """

    first_s: float
    onset_s: float
    last_s: float


def span_of(config: CaptureConfig, *, onset_s: float, moved_s: float, previous_settled_s: float) -> Span:
    """Return the span of a movement; `moved_s` is infinite while it lasts."""
    first_s = max(onset_s - config.event_before_s, previous_settled_s)
    return Span(first_s, onset_s, moved_s + config.event_after_s)


def next_live(frames: Sequence[Seen], span: Span, budget: int) -> Seen | None:
    """Return the frame of one camera to look at next while the movement lasts.

    The newest first; frames from before the weight moved get at most half of the budget, and some of
    it is left for the end.
    """
    looked = [seen for seen in frames if seen.detections is not None]
    if len(looked) >= max(1, budget - RESERVED_FRAMES):
        return None
    early = sum(seen.frame.captured_s < span.onset_s for seen in looked)
    for seen in reversed(frames):
        if seen.detections is None and (seen.frame.captured_s >= span.onset_s or early < (budget + 1) // 2):
            return seen
    return None


def last_batches(frames: Mapping[str, Sequence[Seen]], budget: int) -> list[list[Seen]]:
    """Return what is still to be looked at once the weight has settled, one frame per camera a batch."""
    left: list[list[Seen]] = []
    for seen in frames.values():
        room = budget - sum(s.detections is not None for s in seen)
        left.append([s for s in reversed(seen) if s.detections is None][: max(0, room)])
    rounds = max((len(column) for column in left), default=0)
    return [[column[i] for column in left if i < len(column)] for i in range(rounds)]


def evidence_of(
    frames: Mapping[str, Sequence[Seen]], clutter: Mapping[str, tuple[Detection, ...]]
) -> list[CameraEvidence]:
    """Return what each camera saw in the frames that were looked at."""
    return [
        CameraEvidence(
            camera,
            tuple(seen.detections for seen in sequence if seen.detections is not None),
            clutter.get(camera, ()),
        )
        for camera, sequence in frames.items()
    ]


def newest_looked_s(frames: Mapping[str, Sequence[Seen]]) -> float | None:
    """Return when the newest frame that was looked at was captured."""
    times = [s.frame.captured_s for seen in frames.values() for s in seen if s.detections is not None]
    return max(times, default=None)


def frames_in(buffers: Mapping[str, FrameBuffer], span: Span) -> dict[str, list[Seen]]:
    """Return each camera's frames of a span."""
    return {camera: buffer.between(span.first_s, span.last_s) for camera, buffer in buffers.items()}
