"""Golden frames: pictures of which the trained network's answer is recorded in the manifest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fleet_agent.activation.picture_size import picture_size
from fleet_agent.durable import open_regular
from fleet_agent.errors import GoldenError
from fleet_agent.manifest import GoldenDetection, GoldenFrame, ModelManifest
from fleet_agent.perception import Pixels

FOLDER = "golden"
# 32 pictures per camera are enough to tell a broken engine; more than these only cost start-up time.
MAX_GOLDEN_FRAMES = 256
# A camera's frame is below 1 MB as a JPEG; a file beyond this is no frame.
MAX_GOLDEN_BYTES = 8_000_000
# A few kilobytes may unfold to gigabytes of pixels; no camera of a cart has more than these a side.
MAX_SIDE = 4096
# All golden frames together are in memory while the gate works, beside two networks.
MAX_ALL_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Golden:
    """One golden frame, decoded whenever it is looked at: all at once would fill a cart's memory.

    Attributes:
        name: Of its file.
        encoded: JPEG or PNG.
        expected: What the network saw when it was trained.
    """

    name: str
    encoded: bytes
    expected: tuple[GoldenDetection, ...]

    @property
    def pixels(self) -> Pixels:
        """uint8, height x width x 3, blue first.

        Raises:
            GoldenError: it cannot be decoded.
        """
        return _decode(self.name, self.encoded)


def load_golden(directory: Path, manifest: ModelManifest) -> tuple[Golden, ...]:
    """Read the golden frames of a model.

    Args:
        directory: The model's folder.
        manifest: Of that folder.

    Raises:
        GoldenError: a file is missing, too large, not the manifest's or no picture; there are too many; or
            an expected detection is of a class that the manifest does not have.
    """
    if len(manifest.golden) > MAX_GOLDEN_FRAMES:
        raise GoldenError(f"{len(manifest.golden)} golden frames are more than {MAX_GOLDEN_FRAMES}")
    golden: list[Golden] = []
    for frame in manifest.golden:
        golden.append(_load(directory / FOLDER, frame, len(manifest.classes)))
        if sum(len(entry.encoded) for entry in golden) > MAX_ALL_BYTES:
            raise GoldenError(f"the golden frames have more than {MAX_ALL_BYTES} bytes together")
    return tuple(golden)


def _load(folder: Path, frame: GoldenFrame, classes: int) -> Golden:
    path = folder / frame.file
    unknown = [seen.item_ix for seen in frame.expected if seen.item_ix >= classes]
    if unknown:
        raise GoldenError(f"{path} expects class {unknown[0]}, but there are {classes} classes")
    document = read_picture(path)
    digest = hashlib.sha256(document).hexdigest()
    if digest != frame.sha256:
        raise GoldenError(f"{path} is not the manifest's golden frame: its sha256 is {digest}")
    _decode(str(path), document)
    return Golden(frame.file, document, frame.expected)


def read_picture(path: Path) -> bytes:
    """Return a picture's file.

    Raises:
        GoldenError: it is no regular file, cannot be read, or is too large.
    """
    try:
        with open_regular(path) as file:
            document = file.read(MAX_GOLDEN_BYTES + 1)
    except OSError as error:
        raise GoldenError(f"{path}: {error.strerror or error}") from error
    if len(document) > MAX_GOLDEN_BYTES:
        raise GoldenError(f"{path} has more than {MAX_GOLDEN_BYTES} bytes")
    return document


def _decode(name: str, document: bytes) -> Pixels:
    size = picture_size(document)
    if size is None:
        raise GoldenError(f"{name} is no picture: neither JPEG nor PNG")
    if max(size) > MAX_SIDE:
        raise GoldenError(f"{name} has {size[0]} x {size[1]} pixels; {MAX_SIDE} a side are allowed")
    try:
        pixels = cv2.imdecode(np.frombuffer(document, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise GoldenError(f"{name} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise GoldenError(f"{name} is no picture that OpenCV can decode")
    return np.asarray(pixels, np.uint8)
