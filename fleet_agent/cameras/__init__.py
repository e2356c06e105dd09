"""Where frames come from: files, devices, streams, folders; and what a configuration asks for."""

import os
from collections.abc import Mapping

from fleet_agent.cameras.folder import FolderCamera
from fleet_agent.cameras.live import LiveCamera
from fleet_agent.cameras.video import VideoCamera
from fleet_agent.config import CameraConfig
from fleet_agent.ports import CameraSource, Clock

__all__ = ["FolderCamera", "LiveCamera", "VideoCamera", "make_camera"]


def make_camera(
    config: CameraConfig, clock: Clock, environment: Mapping[str, str] = os.environ
) -> CameraSource:
    """Return the source that a camera's settings name; it is not opened yet."""
    if config.kind == "video":
        return VideoCamera(config, clock)
    if config.kind == "images":
        return FolderCamera(config, clock)
    return LiveCamera(config, clock, environment)
