"""Stories about golden frames that are not what the manifest says."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from fleet_agent.activation.golden import MAX_GOLDEN_BYTES, MAX_GOLDEN_FRAMES, load_golden
from fleet_agent.activation.picture_size import picture_size
from fleet_agent.errors import GoldenError
from fleet_agent.manifest import GoldenDetection, GoldenFrame, ModelManifest, load_manifest
from tests.fleet_agent.activation.models import SCENES, picture, write_model


def test_golden_frames_are_decoded_as_they_were_taken(tmp_path: Path) -> None:
    """Pixels, names and expectations come back."""
    folder = write_model(tmp_path / "model")
    golden = load_golden(folder, load_manifest(folder))
    assert [frame.name for frame in golden] == ["0.png", "1.png", "2.png"]
    for frame, scene in zip(golden, SCENES, strict=True):
        np.testing.assert_array_equal(frame.pixels, picture(scene))
        assert len(frame.expected) == sum(item_ix is not None for item_ix in scene)


@pytest.mark.parametrize("kind", [".jpg", ".png"])
@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]], ids=["plain", "progressive"])
def test_the_size_is_in_the_header(kind: str, flags: list[int]) -> None:
    """Nothing is unfolded to know it."""
    document = cv2.imencode(kind, np.zeros((30, 70, 3), np.uint8), flags if kind == ".jpg" else [])[
        1
    ].tobytes()
    assert picture_size(document) == (70, 30)
    assert picture_size(document[:10]) is None
    assert picture_size(b"GIF89a" + document) is None


def _change(content: bytes) -> Callable[[Path, ModelManifest], ModelManifest]:
    def change(folder: Path, model: ModelManifest) -> ModelManifest:
        (folder / "golden" / "1.png").write_bytes(content)
        return model

    return change


def _missing(folder: Path, model: ModelManifest) -> ModelManifest:
    (folder / "golden" / "1.png").unlink()
    return model


def _no_picture(folder: Path, model: ModelManifest) -> ModelManifest:
    (folder / "golden" / "1.png").write_bytes(b"no picture")
    return _second(model, sha256=hashlib.sha256(b"no picture").hexdigest())


def _bomb(folder: Path, model: ModelManifest) -> ModelManifest:
    """A small file of many pixels, all the same."""
    document = cv2.imencode(".png", np.zeros((8, 5000, 3), np.uint8))[1].tobytes()
    (folder / "golden" / "1.png").write_bytes(document)
    return _second(model, sha256=hashlib.sha256(document).hexdigest())


def _pipe(folder: Path, model: ModelManifest) -> ModelManifest:
    path = folder / "golden" / "1.png"
    path.unlink()
    os.mkfifo(path)
    return model


def _unknown_class(folder: Path, model: ModelManifest) -> ModelManifest:
    del folder
    return _second(model, expected=(GoldenDetection(item_ix=3, score=0.9, box=(0, 0, 1, 1)),))


def _too_many(folder: Path, model: ModelManifest) -> ModelManifest:
    del folder
    return msgspec.structs.replace(model, golden=model.golden * MAX_GOLDEN_FRAMES)


def _heavy(folder: Path, model: ModelManifest) -> ModelManifest:
    """Pictures may have bytes behind their end."""
    path = folder / "golden" / "1.png"
    path.write_bytes(path.read_bytes().ljust(MAX_GOLDEN_BYTES, b"\0"))
    model = _second(model, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return msgspec.structs.replace(model, golden=(model.golden[1],) * 9)


def _second(model: ModelManifest, **changes: object) -> ModelManifest:
    changed: GoldenFrame = msgspec.structs.replace(model.golden[1], **changes)
    return msgspec.structs.replace(model, golden=(model.golden[0], changed, *model.golden[2:]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_heavy, "more than 64000000 bytes together"),
        (_change(b"tampered"), "not the manifest's golden frame"),
        (_change(b" " * (MAX_GOLDEN_BYTES + 1)), "has more than"),
        (_missing, "No such file"),
        (_no_picture, "no picture"),
        (_bomb, "5000 x 8 pixels; 4096 a side"),
        (_pipe, "no regular file"),
        (_unknown_class, "expects class 3, but there are 3 classes"),
        (_too_many, "are more than 256"),
    ],
)
def test_a_frame_that_is_not_the_manifests_is_refused(
    tmp_path: Path, change: Callable[[Path, ModelManifest], ModelManifest], why: str
) -> None:
    """Tampered, oversized, missing, not a picture, of a class nobody knows, too many: each is named."""
    folder = write_model(tmp_path / "model")
    model = change(folder, load_manifest(folder))
    with pytest.raises(GoldenError, match=why):
        load_golden(folder, model)
