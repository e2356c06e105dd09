"""What the cart adds around the network: camera-to-decision over a bare `session.run`, on the same frames.

    python -m benchmarks.camera_to_decision > camera_to_decision.json

Camera to decision is the agent's own path, all of it in one thread: frames, each just written as a camera's
driver leaves it, are counted, judged (frozen, black, ...: twice a second), shrunk and put into their cameras'
buffers (the hand-over); the frames of the movement are chosen from the buffers; `Vision.look` preprocesses,
infers and decodes them, one of each camera a batch; `evidence_of` and `fuse` make the decision with a weighed
change; telemetry counts all of it. Bare is `InferenceSession.run` of the same file with the same options, as
often, on a batch of such frames. Both are measured in turn, in pairs whose order alternates; the ratio is the
median of the pairs' ratios. Of three pairs one counts: those that other programs interrupted least, whatever
they took.

`frames` is how many of each camera are looked at for one decision: a live cart looks at up to eight
(`capture.event_frames`) and fuses once; with one, all of the fusion is weighed against a single batch.

`ratio` counts the hand-over of all cameras one after the other. On a cart each camera has a thread of its own
for it, so that a decision waits for one of them where there is a core for each: `ratio_cameras_apart`.

CPU time of everything but inference is the process's, minus what the engine's `infer` took of it.
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

import fleet_agent
from fleet_agent.basket.fusion import fuse
from fleet_agent.basket.weighed import catalogue_weights
from fleet_agent.cameras.folder import FolderCamera
from fleet_agent.capture import CaptureLoop
from fleet_agent.config import CameraConfig, CaptureConfig, FusionConfig
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.frame_buffer import FrameBuffer
from fleet_agent.health.camera import Limits
from fleet_agent.health.camera_watch import CameraWatch
from fleet_agent.health.guard import GuardedEngine
from fleet_agent.health.watch import Heartbeats
from fleet_agent.manifest import PRECISIONS, ModelManifest, Precision, load_manifest
from fleet_agent.movement import Span, evidence_of, frames_in, last_batches
from fleet_agent.perception import EngineInfo, Frame, PerceptionEngine, Pixels, Tensor
from fleet_agent.ports import SystemClock
from fleet_agent.shrink import Shrinker
from fleet_agent.telemetry import Telemetry
from fleet_agent.vision import Vision
from training.scenes import CAMERAS, CATALOGUE, Direction, Gesture, SceneRenderer, SceneState, preload

SHIPPED_MODELS = Path(fleet_agent.__file__).parent / "models"
CLOCK = SystemClock()
STAGES = ("preprocess", "infer", "decode", "fuse")
WARM_UP_PAIRS = 10
# Between frames of one camera that are looked at for one decision: buffers keep six a second.
APART_S = 1 / 6
# Between frames of one camera: each single one is the next of a stream.
NEXT_S = 1 / 15
# Of so many pairs one counts: those that other programs on the machine interrupted least.
RUN_FOR_ONE = 3
# Moments that are rendered and used again and again.
MOMENTS = 24


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of each camera, and what the movement weighed."""

    frames: tuple[Pixels, ...]
    change_g: float

    def fresh(self, rng: np.random.Generator) -> Iterator[Pixels]:
        """Write its frames into new memory, with a sensor's noise: without it a camera is frozen."""
        noise = rng.integers(0, 2, self.frames[0].shape, np.uint8)
        for pixels in self.frames:
            yield pixels ^ noise


@dataclass(frozen=True, slots=True)
class Spent:
    """Time by the wall clock and of the processor, in milliseconds."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0

    @classmethod
    def now(cls) -> "Spent":
        """Return what both clocks show."""
        return cls(time.perf_counter() * 1000.0, time.process_time() * 1000.0)

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall_ms + other.wall_ms, self.cpu_ms + other.cpu_ms)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.wall_ms - other.wall_ms, self.cpu_ms - other.cpu_ms)


def render(cameras: int, width: int, seed: int) -> list[Moment]:
    """Render hands that bring items."""
    rng = np.random.default_rng(seed)
    preload([item.item_id for item in CATALOGUE])
    renderers = [SceneRenderer(view, width=width) for view in CAMERAS[:cameras]]
    moments = []
    for number in range(MOMENTS):
        item = CATALOGUE[number % len(CATALOGUE)]
        hand = Gesture(item.item_id, Direction.ADD, phase=float(rng.uniform(0.2, 0.4)), skin=number % 5)
        state = SceneState(gestures=(hand,))
        frames = tuple(renderer.render(state, rng) for renderer in renderers)
        moments.append(Moment(frames, float(rng.normal(item.weight_g, item.weight_sd_g))))
    return moments


class MeteredEngine:
    """Passes everything on to an engine, and adds up its CPU time."""

    def __init__(self, engine: PerceptionEngine) -> None:
        self._engine = engine
        self.cpu_s = 0.0

    @property
    def info(self) -> EngineInfo:
        """Of the engine."""
        return self._engine.info

    @property
    def input(self) -> Tensor:
        """Of the engine."""
        return self._engine.input

    def infer(self, frames: int) -> Mapping[str, Tensor]:
        """Of the engine."""
        begun_s = time.process_time()
        outputs = self._engine.infer(frames)
        self.cpu_s += time.process_time() - begun_s
        return outputs

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class AgentPath:
    """The agent's way from frames that are handed over to a decision."""

    def __init__(self, engine: PerceptionEngine, manifest: ModelManifest, cameras: int) -> None:
        self.telemetry = Telemetry()
        self._manifest = manifest
        self._names = [view.name for view in CAMERAS[:cameras]]
        self._vision = Vision(engine, manifest, telemetry=self.telemetry, clock=CLOCK)
        self._capture, self._fusion = CaptureConfig(), FusionConfig()
        self._weights = catalogue_weights(manifest.classes)  # as the basket has them
        self._buffers: dict[str, FrameBuffer] = {}
        self._shrinkers = {name: Shrinker(manifest.input) for name in self._names}
        self._loops = {name: self._loop(name) for name in self._names}
        # When the cameras' next frames are captured.
        self._stream_s = 0.0
        self._span = Span(0.0, 0.0, math.inf)

    def _loop(self, camera: str) -> CaptureLoop:
        """Return what a camera's thread does with each frame; nobody starts it."""
        return CaptureLoop(
            FolderCamera(CameraConfig(name=camera, kind="images", source=""), CLOCK),
            self._capture,
            watch=CameraWatch(camera, Limits(), self.telemetry),
            silent_after_s=math.inf,
            telemetry=self.telemetry,
            clock=CLOCK,
            deliver=self._deliver,
            stopping=threading.Event(),
        )

    def _deliver(self, frame: Frame) -> None:
        frame = self._shrinkers[frame.camera].shrunk(frame)
        self._buffers[frame.camera].put(frame, CLOCK.monotonic_s(), wanted=False)

    def prepare(self) -> None:
        """Have empty buffers: those of a live cart hold half a dozen frames."""
        self._buffers = {name: FrameBuffer(self._capture, self.telemetry.count) for name in self._names}

    def hand_over(self, moments: Sequence[Moment], rng: np.random.Generator) -> Spent:
        """Hand over frames of each camera, each just written; return what that took, without the writing."""
        spent = Spent()
        self._span = Span(self._stream_s, self._stream_s, math.inf)
        for moment in moments:
            for name, pixels in zip(self._names, moment.fresh(rng), strict=True):
                begun = Spent.now()
                self._loops[name].accept(Frame(name, pixels, self._stream_s), self._stream_s)
                spent += Spent.now() - begun
            self._stream_s += NEXT_S if len(moments) == 1 else APART_S
        return spent

    def decide(self, change_g: float) -> None:
        """Take a weight change; return when it is decided and counted."""
        now_s = CLOCK.monotonic_s()
        frames = frames_in(self._buffers, self._span)
        for batch in last_batches(frames, self._capture.event_frames):
            self._vision.look(batch, now_s)
        begun_s = CLOCK.monotonic_s()
        decision = fuse(
            evidence_of(frames, {}),
            change_g,
            self._manifest.classes,
            self._fusion,
            temperature=self._manifest.temperature,
            weights=self._weights,
        )
        decided_s = CLOCK.monotonic_s()
        self.telemetry.time("fuse", decided_s - begun_s)
        self.telemetry.time("camera_to_decision", decided_s - now_s)
        self.telemetry.decision(decision)


def bare_session(directory: Path, manifest: ModelManifest, precision: Precision) -> Any:
    """Return a plain session of one thread, as the agent's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = directory / manifest.artifacts[precision].file
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True, slots=True)
class Pair:
    """Both ways once, in milliseconds, and the CPU time of the agent's path without inference and of it."""

    whole_ms: float
    bare_ms: float
    hand_over_ms: float
    other_cpu_ms: float
    infer_cpu_ms: float
    interruptions: int


def preemptions() -> int:
    """Return how often this thread was interrupted by another."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


class Bench:
    """One model with one number of cameras: a bare session and the agent's path, side by side."""

    def __init__(self, directory: Path, precision: Precision, cameras: int) -> None:
        manifest = load_manifest(directory)
        self._engine = MeteredEngine(
            OnnxRuntimeModel(directory, manifest, precision=precision).engine(cameras)
        )
        # As on a cart, every run is watched and its answers are looked at for what is no number.
        guarded = GuardedEngine(self._engine, Heartbeats(CLOCK), math.inf)
        self._path = AgentPath(guarded, manifest, cameras)
        self._session = bare_session(directory, manifest, precision)
        self._input = manifest.input.name
        self._cameras = cameras
        self._rng = np.random.default_rng(1)

    def measure(self, moments: Sequence[Moment], *, frames: int, pairs: int) -> dict[str, Any]:
        """Run pairs of both; which of them is first alternates."""
        events = [
            tuple(moments[(first + ix) % len(moments)] for ix in range(frames)) for first in range(MOMENTS)
        ]
        for number in range(WARM_UP_PAIRS):
            self._pair(events[number % MOMENTS], whole_first=bool(number % 2))
        run = [
            self._pair(events[number % MOMENTS], whole_first=bool(number % 2))
            for number in range(pairs * RUN_FOR_ONE)
        ]
        calm = sorted(run, key=lambda pair: pair.interruptions)[:pairs]
        shape = {"cameras": self._cameras, "frames": frames, "pairs": pairs, "run": len(run)}
        return shape | summary(self._path.telemetry, calm, self._cameras, self._cameras * frames)

    def _pair(self, event: Sequence[Moment], *, whole_first: bool) -> Pair:
        self._path.prepare()
        interruptions = preemptions()
        batch = self._engine.input.copy()
        bare_ms = 0.0 if whole_first else self._bare_ms(batch, len(event))
        self._engine.cpu_s = 0.0
        handed = self._path.hand_over(event, self._rng)
        begun = Spent.now()
        self._path.decide(event[-1].change_g)
        whole = handed + (Spent.now() - begun)
        infer_ms = self._engine.cpu_s * 1000.0
        if whole_first:
            bare_ms = self._bare_ms(batch, len(event))
        return Pair(
            whole.wall_ms,
            bare_ms,
            handed.wall_ms,
            whole.cpu_ms - infer_ms,
            infer_ms,
            preemptions() - interruptions,
        )

    def _bare_ms(self, batch: Tensor, runs: int) -> float:
        begun_s = time.perf_counter()
        for _ in range(runs):
            self._session.run(None, {self._input: batch})
        return (time.perf_counter() - begun_s) * 1000.0


def summary(telemetry: Telemetry, pairs: Sequence[Pair], cameras: int, frames: int) -> dict[str, Any]:
    """Return medians, and the stages as the agent itself counts them."""
    ratios = [pair.whole_ms / pair.bare_ms for pair in pairs]
    apart = [(pair.whole_ms - pair.hand_over_ms * (1 - 1 / cameras)) / pair.bare_ms for pair in pairs]
    stages = telemetry.totals().stages
    return {
        "bare_ms": round(statistics.median(pair.bare_ms for pair in pairs), 3),
        "camera_to_decision_ms": round(statistics.median(pair.whole_ms for pair in pairs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_quartiles": [round(q, 3) for q in statistics.quantiles(ratios, n=4)[::2]],
        "ratio_cameras_apart": round(statistics.median(apart), 3),
        "hand_over_ms": round(statistics.median(pair.hand_over_ms for pair in pairs), 3),
        "added_ms": round(statistics.median(pair.whole_ms - pair.bare_ms for pair in pairs), 3),
        # The same in CPU time: other programs on the machine do not disturb it.
        "cpu_ratio": round(
            statistics.median((pair.other_cpu_ms + pair.infer_cpu_ms) / pair.infer_cpu_ms for pair in pairs),
            3,
        ),
        "interruptions": max(pair.interruptions for pair in pairs),
        "cpu_ms_per_frame_without_inference": round(
            statistics.median(pair.other_cpu_ms for pair in pairs) / frames, 4
        ),
        "stages_ms": {name: round(stages[name].quantile(0.5) or 0.0, 3) for name in STAGES},
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=None, help="folders in fleet_agent/models")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--cameras", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--frames", nargs="*", type=int, default=[1, 8], help="of each camera a decision")
    parser.add_argument("--widths", nargs="*", type=int, default=[320, 640], help="of the frames; 4:3")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    # As in a cart: see fleet_agent.launch.
    cv2.setNumThreads(1)
    names = options.models or sorted(path.parent.name for path in SHIPPED_MODELS.glob("*/manifest.json"))
    results = []
    for width in options.widths:
        moments = render(max(options.cameras), width, options.seed)
        for name, cameras, frames in product(names, options.cameras, options.frames):
            fewer = [Moment(moment.frames[:cameras], moment.change_g) for moment in moments]
            bench = Bench(SHIPPED_MODELS / name, options.precision, cameras)
            facts = {"model": name, "precision": options.precision, "frame": f"{width} x {width * 3 // 4}"}
            results.append(facts | bench.measure(fewer, frames=frames, pairs=options.pairs))
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
        "load_1_min": round(os.getloadavg()[0], 2),
    }
    print(json.dumps({"machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
