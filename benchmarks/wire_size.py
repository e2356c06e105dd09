"""Bytes on the wire of one telemetry window of a minute: JSON, zstd, zstd with the contract's dictionary.

`python -m benchmarks.wire_size` prints one JSON object. Budget: at most 700 bytes for 4 cameras.
"""

import json
import random
import statistics

import msgspec
import zstandard

from fleet_protocol import codec
from training.wire_dictionary import plausible_window

WINDOWS = 400
BUDGET_BYTES = 700
# Frames per camera and minute, item events per minute: a calm cart, a busy one, and continuous video.
LOADS = {"calm": (30, 1), "busy": (60, 3), "continuous": (600, 3)}


def measure(cameras: int, frames: int, events: int) -> dict[str, float]:
    """Return the median sizes of windows of one load."""
    rng = random.Random(2_000 + cameras)  # not the dictionary's seed
    encoder = msgspec.json.Encoder()
    plain = zstandard.ZstdCompressor(level=codec.LEVEL)
    bodies = [encoder.encode(plausible_window(rng, cameras, frames, events)) for _ in range(WINDOWS)]
    packed = [len(codec.pack(body)) for body in bodies]
    return {
        "json_bytes": statistics.median(len(body) for body in bodies),
        "zstd_bytes": statistics.median(len(plain.compress(body)) for body in bodies),
        "wire_bytes": statistics.median(packed),
        "wire_bytes_p95": statistics.quantiles(packed, n=20)[-1],
    }


def main() -> None:
    """Print the sizes."""
    sizes = {
        f"{cameras} cameras, {name}": measure(cameras, frames, events)
        for cameras in (3, 4)
        for name, (frames, events) in LOADS.items()
    }
    print(json.dumps({"budget_bytes": BUDGET_BYTES, "windows": WINDOWS, "sizes": sizes}, indent=2))


if __name__ == "__main__":
    main()
