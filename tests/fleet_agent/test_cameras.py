"""Stories about cameras: real files written by OpenCV, and cameras that fail."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fleet_agent.cameras import make_camera
from fleet_agent.config import CameraConfig
from fleet_agent.errors import (
    CameraError,
    CameraLostError,
    CameraOpenError,
    EndOfStreamError,
    FrameDecodeError,
)
from fleet_agent.perception import Frame
from fleet_agent.ports import CameraSource, SystemClock
from tests.fleet_agent.worlds import picture


def write_video(path: Path, frames: int, fps: float = 30.0) -> None:
    """Write a short film that gets brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full((48, 64, 3), 20 + 10 * i, np.uint8))
    writer.release()


def play(camera: CameraSource, most: int = 1000) -> list[Frame]:
    """Read until the end or so many frames."""
    found: list[Frame] = []
    while len(found) < most:
        try:
            frame = camera.read(1.0)
        except EndOfStreamError:
            break
        if frame is not None:
            found.append(frame)
    return found


def config(kind: str, source: Path | str, **more: object) -> CameraConfig:
    """Return a camera's settings."""
    return CameraConfig(name="front", kind=kind, source=str(source), **more)  # type: ignore[arg-type]


def test_a_video_plays_once_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    """All frames in order, then the end is said."""
    write_video(tmp_path / "v.avi", 12)
    camera = make_camera(config("video", tmp_path / "v.avi", fps=30.0), SystemClock())
    camera.open()
    frames = play(camera)
    levels = [float(f.pixels.mean()) for f in frames]
    assert len(frames) == 12
    assert levels == sorted(levels)
    assert frames[0].pixels.shape == (48, 64, 3)
    times = [f.captured_s for f in frames]
    assert times == sorted(times)
    camera.close()


def test_a_video_is_played_at_the_speed_of_life_with_fewer_frames(tmp_path: Path) -> None:
    """A film of 30 frames a second is given at 10, still covering its whole length."""
    write_video(tmp_path / "v.avi", 12)
    camera = make_camera(config("video", tmp_path / "v.avi", fps=10.0), SystemClock())
    camera.open()
    frames = play(camera)
    assert len(frames) == 4
    assert frames[-1].pixels.mean() > 120
    camera.close()


def test_a_video_can_loop(tmp_path: Path) -> None:
    """A looping film has no end."""
    write_video(tmp_path / "v.avi", 3)
    camera = make_camera(config("video", tmp_path / "v.avi", fps=30.0, loop=True), SystemClock())
    camera.open()
    assert len(play(camera, most=8)) == 8
    camera.close()


def test_a_folder_plays_its_images_and_reports_the_broken_one(tmp_path: Path) -> None:
    """Images in order of name; a damaged one is said and the next one comes."""
    for name, ix in (("a.png", 0), ("c.png", 1)):
        cv2.imwrite(str(tmp_path / name), picture(ix))
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("not looked at")
    camera = make_camera(config("images", tmp_path, fps=100.0), SystemClock())
    camera.open()
    first = play(camera, most=1)
    with pytest.raises(FrameDecodeError, match=r"b\.png"):
        play(camera, most=1)
    second = play(camera, most=1)
    assert np.array_equal(first[0].pixels, picture(0))
    assert np.array_equal(second[0].pixels, picture(1))
    with pytest.raises(EndOfStreamError):
        camera.read(0.1)
    camera.close()


@pytest.mark.parametrize("kind", ["video", "images", "v4l2"])
def test_what_is_not_there_is_named(tmp_path: Path, kind: str) -> None:
    """A wrong path is an error of ours with the camera's name and the path."""
    camera = make_camera(config(kind, tmp_path / "nothing"), SystemClock())
    with pytest.raises(CameraOpenError, match=r"'front'.*nothing"):
        camera.open()
    camera.close()


def test_a_file_that_is_no_video_is_said(tmp_path: Path) -> None:
    """A text file is not played."""
    (tmp_path / "v.avi").write_text("hello" * 100)
    camera = make_camera(config("video", tmp_path / "v.avi"), SystemClock())
    with pytest.raises(CameraOpenError, match="not a video"):
        camera.open()


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    """A folder without images does not open."""
    with pytest.raises(CameraOpenError, match="no image"):
        make_camera(config("images", tmp_path), SystemClock()).open()


def test_a_camera_that_was_not_opened_says_so(tmp_path: Path) -> None:
    """Reading first is an error of ours."""
    write_video(tmp_path / "v.avi", 1)
    with pytest.raises(CameraError):
        make_camera(config("video", tmp_path / "v.avi"), SystemClock()).read(0.1)
    with pytest.raises(CameraLostError):
        make_camera(config("v4l2", "/dev/video0"), SystemClock()).read(0.1)


def test_a_stream_password_is_in_no_message(capfd: pytest.CaptureFixture[str], free_port: object) -> None:
    """A stream that cannot be opened is named without the password, by us and by OpenCV."""
    assert callable(free_port)
    address = f"rtsp://127.0.0.1:{free_port()}/stream"
    settings = config("rtsp", address, password_env="CAMERA")  # noqa: S106  # a variable's name
    camera = make_camera(settings, SystemClock(), {"CAMERA": "admin:hunter2"})
    begun = time.monotonic()
    with pytest.raises(CameraOpenError, match="no stream") as refused:
        camera.open()
    assert time.monotonic() - begun < 60
    printed = capfd.readouterr()
    assert "hunter2" not in str(refused.value) + printed.out + printed.err
    with pytest.raises(CameraOpenError, match="CAMERA"):
        make_camera(settings, SystemClock(), {}).open()
    assert os.environ.get("CAMERA") is None
