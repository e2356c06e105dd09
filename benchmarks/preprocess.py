"""Ways from a camera's frame into the network's input, side by side: which of them the agent uses, and why.

    python -m benchmarks.preprocess > preprocess.json

Each way ends with the frames' own regions of a float32 4 x 3 x 160 x 160 input filled, red first, divided by
255: four cameras at once, as a cart looks at them. The network's input is the shipped models'. Ways take
turns, each in every place, so that a busy machine and a frame that is not in the cache slow all of them;
reported is the median of each for one frame, its ratio to the agent's own, and how far its values are from
the plain formula's in grey levels. OpenCV and NumPy have one thread, as in a cart.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_agent.letterbox import Placement, place
from fleet_agent.perception import Pixels, Tensor
from fleet_agent.preprocess import Preprocessor
from training.interface import INPUT

SPEC = INPUT
SIDE = SPEC.width
SIZES = ((320, 240), (640, 480), (1280, 720))
SHARE = np.float32(1 / 255)
TABLE = (np.arange(256) / 255).astype(np.float32)

CAMERAS = 4

Way = Callable[[Pixels], None]


class Ways:
    """All ways but the agent's, of frames of one size into one row of the input."""

    def __init__(self, row: Tensor, width: int, height: int) -> None:
        self.row = row
        self.placed: Placement = place(SPEC, width, height)
        p = self.placed
        self._region = self.row[:, p.y : p.y + p.height, p.x : p.x + p.width]
        self._planes = np.empty((3, p.height, p.width), np.uint8)
        self._split = list(self._planes[::-1])
        self._canvas = np.full((SIDE, SIDE, 3), SPEC.pad, np.uint8)

    def all(self) -> dict[str, Way]:
        """Return the ways by name."""
        return {
            "numpy_transposed": self.numpy_transposed,
            "numpy_canvas": self.numpy_canvas,
            "split_numpy_area": self.split_numpy_area,
            "split_lut": self.split_lut,
            "split_add_weighted": self.split_add_weighted,
            "split_numpy_take": self.split_numpy_take,
            "float_then_split": self.float_then_split,
            "blob_from_image": self.blob_from_image,
            "blob_from_images_all": self.blob_from_images_all,
            "resize_linear": self.resize_linear,
        }

    def _small(self, frame: Pixels, method: int = cv2.INTER_AREA) -> Pixels:
        size = (self.placed.width, self.placed.height)
        return np.asarray(cv2.resize(frame, size, interpolation=method))

    def numpy_transposed(self, frame: Pixels) -> None:
        """One multiplication that reads across the colours."""
        np.multiply(self._small(frame)[..., ::-1].transpose(2, 0, 1), SHARE, out=self._region)

    def numpy_canvas(self, frame: Pixels) -> None:
        """Paste into a padded canvas of bytes, then multiply and add over all of it."""
        p = self.placed
        canvas = self._canvas
        canvas[: p.y], canvas[p.y + p.height :] = SPEC.pad, SPEC.pad
        canvas[p.y : p.y + p.height, p.x : p.x + p.width] = self._small(frame)
        np.multiply(canvas[..., ::-1].transpose(2, 0, 1), SHARE, out=self.row)
        self.row += np.float32(0.0)

    def split_numpy_area(self, frame: Pixels) -> None:
        """As the agent, but one shrinking by area instead of halving first."""
        cv2.split(self._small(frame), self._split)
        np.multiply(self._planes, SHARE, out=self._region)

    def split_lut(self, frame: Pixels) -> None:
        """A table of 256 floats per colour."""
        cv2.split(self._small(frame), self._split)
        for plane, out in zip(self._planes, self._region, strict=True):
            cv2.LUT(plane, TABLE, dst=out)

    def split_add_weighted(self, frame: Pixels) -> None:
        """OpenCV's own conversion to float, with a factor and an offset."""
        cv2.split(self._small(frame), self._split)
        for plane, out in zip(self._planes, self._region, strict=True):
            cv2.addWeighted(plane, 1 / 255, plane, 0.0, 0.0, dst=out, dtype=cv2.CV_32F)

    def split_numpy_take(self, frame: Pixels) -> None:
        """NumPy's table look-up."""
        cv2.split(self._small(frame), self._split)
        np.take(TABLE, self._planes, out=self._region, mode="clip")

    def float_then_split(self, frame: Pixels) -> None:
        """Convert all colours at once, then take them apart into the input."""
        floats = np.multiply(self._small(frame), SHARE)
        cv2.split(floats, list(self._region[::-1]))

    def blob_from_image(self, frame: Pixels) -> None:
        """OpenCV's function for networks, after the shrinking."""
        self._region[:] = cv2.dnn.blobFromImage(self._small(frame), 1 / 255, swapRB=True)[0]

    def blob_from_images_all(self, frame: Pixels) -> None:
        """OpenCV's function for networks, shrinking included (always linear)."""
        size = (self.placed.width, self.placed.height)
        self._region[:] = cv2.dnn.blobFromImages([frame], 1 / 255, size, swapRB=True)[0]

    def resize_linear(self, frame: Pixels) -> None:
        """As the agent, but shrunk linearly: from a quarter of the pixels, fine print becomes noise."""
        cv2.split(self._small(frame, cv2.INTER_LINEAR), self._split)
        np.multiply(self._planes, SHARE, out=self._region)


def measure(width: int, height: int, rounds: int, seed: int) -> dict[str, Any]:
    """Let all ways take turns on frames of one size."""
    rng = np.random.default_rng(seed)
    frames = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(CAMERAS)]
    batch: Tensor = np.zeros((CAMERAS, 3, SIDE, SIDE), np.float32)
    rows = [Ways(row, width, height) for row in batch]
    by_name = [row.all() for row in rows]
    preprocessor = Preprocessor(SPEC, batch)
    turns: list[tuple[str, Callable[[], object]]] = [("agent", lambda: preprocessor.fill(frames))]
    turns += [(name, partial(one_by_one, [ways[name] for ways in by_name], frames)) for name in by_name[0]]
    times_us: dict[str, list[float]] = {name: [] for name, _ in turns}
    errors: dict[str, float] = {}
    for _ in range(rounds):
        turns.append(turns.pop(0))
        for name, way in turns:
            begun_s = time.perf_counter()
            way()
            times_us[name].append((time.perf_counter() - begun_s) * 1e6 / CAMERAS)
            if name not in errors:
                errors[name] = max(off_by(row, frame) for row, frame in zip(rows, frames, strict=True))
    agent_us = statistics.median(times_us["agent"])
    return {
        name: {
            "us": round(statistics.median(times), 1),
            "ratio": round(statistics.median(times) / agent_us, 2),
            "off_by_grey_levels": round(errors[name], 3),
        }
        for name, times in times_us.items()
    }


def one_by_one(ways: Sequence[Way], frames: Sequence[Pixels]) -> None:
    """Write each frame into its row."""
    for way, frame in zip(ways, frames, strict=True):
        way(frame)


def off_by(ways: Ways, frame: Pixels) -> float:
    """Return the largest difference from shrinking by area and dividing by 255."""
    p = ways.placed
    small: NDArray[Any] = cv2.resize(frame, (p.width, p.height), interpolation=cv2.INTER_AREA)
    wanted = small[..., ::-1].transpose(2, 0, 1) / 255.0
    found = ways.row[:, p.y : p.y + p.height, p.x : p.x + p.width]
    return float(np.abs(found - wanted).max() * 255.0)


def sizes(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Read sizes such as 640x480."""
    return [(int(width), int(height)) for width, height in (text.split("x") for text in texts)]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", default=[f"{width}x{height}" for width, height in SIZES])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    results = {
        f"{width} x {height}": measure(width, height, options.rounds, options.seed)
        for width, height in sizes(options.sizes)
    }
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "load_1_min": os.getloadavg()[0],
    }
    print(json.dumps({"machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
