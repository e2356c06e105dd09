"""What an engine sees in the golden frames, and how fast: the part of the parity gate that runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from fleet_agent.activation.golden import Golden
from fleet_agent.activation.matching import Sighting, sightings
from fleet_agent.decoding import decode
from fleet_agent.manifest import ModelManifest
from fleet_agent.perception import EngineInfo, PerceptionEngine, Tensor
from fleet_agent.ports import Clock
from fleet_agent.preprocess import Preprocessor

# The first runs of an engine allocate and tune; timed, they would refuse a fast one. Three are what
# TensorRT wants before a CUDA graph is captured.
WARM_UP_RUNS = 3


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """What an engine saw in one golden frame in one row of its input.

    Attributes:
        name: Of the golden frame.
        sightings: In an order that does not depend on the engine.
    """

    name: str
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class TimedRuns:
    """Full batches, one after the other.

    Attributes:
        frames: Of one batch.
        times_ms: Of each run, warm-up excluded.
    """

    frames: int
    times_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """All that an engine did with the golden frames.

    Attributes:
        engine: What it is.
        frames: Each golden frame at least once, and each row of the input.
        nan_count: Values of raw outputs that are not finite.
        timed: How long it took.
    """

    engine: EngineInfo
    frames: tuple[SeenFrame, ...]
    nan_count: int
    timed: TimedRuns


def observe(
    engine: PerceptionEngine, manifest: ModelManifest, golden: Sequence[Golden], *, clock: Clock, runs: int
) -> Observation:
    """Run an engine on golden frames.

    Every row of its input gets frames, because an engine may be right in its first row only, and the last
    batch has one frame, because a cart whose other cameras are silent sends such a batch.

    Args:
        engine: The caller owns it.
        manifest: Of its model.
        golden: Frames; none are seen if there are none.
        clock: For the timed runs.
        runs: Timed runs; 0 times nothing.

    Raises:
        EngineError: it cannot run, or its outputs are not what the decoder wants.
    """
    preprocessor = Preprocessor(manifest.input, engine.input)
    frames: list[SeenFrame] = []
    nan_count = 0
    for batch in _batches(golden, len(engine.input)):
        letterboxes = preprocessor.fill([frame.pixels for frame in batch])
        outputs = engine.infer(len(batch))
        nan_count += _not_finite(outputs, len(batch))
        detections = decode(outputs, manifest, letterboxes)
        frames += [
            SeenFrame(frame.name, sightings(seen)) for frame, seen in zip(batch, detections, strict=True)
        ]
    return Observation(engine.info, tuple(frames), nan_count, _time(engine, clock, runs))


def _batches(golden: Sequence[Golden], rows: int) -> Iterator[Sequence[Golden]]:
    """Full batches that hold every frame, going round until the last is full; then one frame alone."""
    if not golden:
        return
    count = -(-len(golden) // rows) * rows
    frames = list(islice(cycle(golden), count))
    for start in range(0, count, rows):
        yield frames[start : start + rows]
    if rows > 1:
        yield frames[:1]


def _not_finite(outputs: Mapping[str, Tensor], rows: int) -> int:
    """Count in the rows that were asked for: what an engine leaves in the others does not matter."""
    return sum(int(np.count_nonzero(~np.isfinite(output[:rows]))) for output in outputs.values())


def _time(engine: PerceptionEngine, clock: Clock, runs: int) -> TimedRuns:
    rows = len(engine.input)
    if not runs:
        return TimedRuns(rows, ())
    for _ in range(WARM_UP_RUNS):
        engine.infer(rows)
    times_ms = []
    for _ in range(runs):
        start_s = clock.monotonic_s()
        engine.infer(rows)
        times_ms.append((clock.monotonic_s() - start_s) * 1000.0)
    return TimedRuns(rows, tuple(times_ms))
