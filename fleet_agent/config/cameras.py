"""Cameras and the keeping of their frames."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from fleet_agent.config.kinds import Count, Id, NotNegative, Positive, doc


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """One camera; `[[cameras]]` may be repeated."""

    name: Id = field(metadata=doc("Name on the wire and on screen, such as `front`."))
    kind: Literal["video", "v4l2", "rtsp", "images"] = field(
        metadata=doc("Video file, V4L2 device, RTSP stream, or folder of images.")
    )
    source: str = field(metadata=doc("Path, device such as `/dev/video0`, `rtsp://` address, or folder."))
    fps: Positive = field(
        default=15.0, metadata=doc("Frames per second taken; a live camera's other frames are not decoded.")
    )
    width: Annotated[int, Meta(ge=0)] = field(
        default=0, metadata=doc("Width asked of a V4L2 device; 0: its own choice.")
    )
    height: Annotated[int, Meta(ge=0)] = field(
        default=0, metadata=doc("Height asked of a V4L2 device; 0: its own choice.")
    )
    loop: bool = field(default=False, metadata=doc("Play a file or folder again when it ends."))
    password_env: str = field(
        default="", metadata=doc("Variable that holds `user:password` of an RTSP camera.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureConfig:
    """How frames are kept."""

    stale_after_s: Positive = field(
        default=3.0, metadata=doc("A frame older than this is not looked at any more, and counted.")
    )
    event_before_s: NotNegative = field(
        default=1.5, metadata=doc("Frames kept from before a weight change: the hand comes first.")
    )
    event_after_s: NotNegative = field(
        default=1.5, metadata=doc("Frames used from after the weight moved for the last time.")
    )
    event_fps: Positive = field(
        default=6.0,
        metadata=doc("Frames per second and camera kept for weight changes. Memory grows with it."),
    )
    event_frames: Count = field(
        default=8, metadata=doc("Most frames per camera looked at for one weight change.")
    )
    batch_window_ms: NotNegative = field(
        default=15.0, metadata=doc("Longest wait for the other cameras' frames before an inference.")
    )
    quality_fps: Positive = field(
        default=1.0, metadata=doc("Brightness and sharpness measurements per second and camera.")
    )
    reconnect_min_s: Positive = field(
        default=0.5, metadata=doc("First wait before a lost camera or scale is opened again.")
    )
    reconnect_max_s: Positive = field(
        default=30.0, metadata=doc("Longest such wait; each failure doubles it.")
    )
