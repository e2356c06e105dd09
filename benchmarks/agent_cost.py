"""What a cart costs beside its network: memory, and CPU time of everything but inference.

    python -m benchmarks.agent_cost > agent_cost.json

A cart as its configuration describes it (`fleet_agent.launch.Cart`), in a process of its own: the shipped
model on ONNX Runtime, four recordings of 640 x 480 at 15 frames a second (Motion JPEG, as USB cameras
deliver), a scripted scale that moves every six seconds, spool on disk, health endpoint on. No broker
answers: messages wait in the spool, which costs more, not less. The recordings are noise over a rendered
cart, so the network finds what it finds; the path is the same.

CPU time is the process's, user and system; inference is the deciding thread's own CPU time inside the
engine's `infer` (one thread). Reading the recordings, which is decoding JPEG on the processor, is measured
on its own in another process that only reads the same four files at the same pace.
"""

import argparse
import json
import multiprocessing as mp
import platform
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from fleet_agent.cameras import make_camera
from fleet_agent.config import CartConfig, parse_config
from fleet_agent.health.guard import GuardedEngine
from fleet_agent.launch import Cart
from fleet_agent.logs import log_to_stderr
from fleet_agent.perception import Tensor
from fleet_agent.ports import SystemClock
from training.scenes import CAMERAS, SceneRenderer, SceneState

BUDGET_MB = 250.0
FPS = 15.0
FILM_S = 12.0
# Loading and warming up: buffers have their size after this.
WARM_UP_S = 20.0


def write_films(folder: Path) -> None:
    """Write one film per camera: a calm cart, with a sensor's noise."""
    rng = np.random.default_rng(1)
    for view in CAMERAS:
        picture = SceneRenderer(view, width=640).render(SceneState(), rng)
        writer = cv2.VideoWriter(
            str(folder / f"{view.name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), FPS, picture.shape[1::-1]
        )
        for _ in range(round(FILM_S * FPS)):
            noise = rng.normal(0, 3, picture.shape)
            writer.write(np.clip(picture + noise, 0, 255).astype(np.uint8))
        writer.release()


def write_scale(folder: Path) -> None:
    """Write a script of an item that comes and goes."""
    (folder / "scale.csv").write_text("0,1000\n6,1400\n12,1000\n")


def settings(folder: Path, port: int) -> CartConfig:
    """Return the cart's configuration: defaults, but for where things are."""
    cameras = "".join(
        f'[[cameras]]\nname = "{view.name}"\nkind = "video"\nloop = true\n'
        f'source = "{folder}/{view.name}.avi"\n'
        for view in CAMERAS
    )
    return parse_config(
        f"""
        store = "s001"
        cart = "s001-c01"
        simulated = true
        [scale]
        kind = "script"
        script = "{folder}/scale.csv"
        loop = true
        [spool]
        path = "{folder}/spool.db"
        [mqtt]
        host = "127.0.0.1"
        port = 9
        [health]
        port = {port}
        {cameras}
        """
    )


class Stopwatch:
    """CPU time of the deciding thread inside the network."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.runs = 0
        run = GuardedEngine.infer

        def timed(engine: GuardedEngine, frames: int) -> Mapping[str, Tensor]:
            begun_s = time.thread_time()
            outputs = run(engine, frames)
            self.cpu_s += time.thread_time() - begun_s
            self.runs += 1
            return outputs

        GuardedEngine.infer = timed  # type: ignore[method-assign, assignment]


def run_cart(folder: str, port: int, measure_s: float, answer: Any) -> None:
    """Run the cart in this process, measure it, and put the figures into a queue."""
    log_to_stderr()
    stopwatch, process = Stopwatch(), psutil.Process()
    cart = Cart(settings(Path(folder), port))
    cart.start()
    time.sleep(WARM_UP_S)
    totals = cart.agent._telemetry.totals  # noqa: SLF001  # what /metrics shows, without the text

    def frames() -> int:
        return sum(n for name, n in totals().counters.items() if name.startswith("frames/"))

    before = (time.process_time(), stopwatch.cpu_s, stopwatch.runs, frames(), process.memory_info().rss)
    peak = before[4]
    until_s = time.monotonic() + measure_s
    while time.monotonic() < until_s:
        time.sleep(1.0)
        peak = max(peak, process.memory_info().rss)
    after = (time.process_time(), stopwatch.cpu_s, stopwatch.runs, frames(), process.memory_info().rss)
    cpu_s, infer_s, runs, seen, _ = (b - a for a, b in zip(before, after, strict=True))
    counters = totals().counters
    cart.stop(10.0)
    answer.put(
        {
            "engine": str(cart.agent._engine.info),  # noqa: SLF001
            "rss_mb": {"warm": before[4] / 1e6, "end": after[4] / 1e6, "peak": peak / 1e6},
            "frames": seen,
            "inferences": runs,
            "events": counters.get("item_events", 0),
            "cpu_s": cpu_s,
            "inference_cpu_s": infer_s,
        }
    )


def read_only(folder: str, measure_s: float, answer: Any) -> None:
    """Read the same recordings at the same pace, and do nothing with them."""
    cv2.setNumThreads(1)
    config, clock = settings(Path(folder), 0), SystemClock()
    sources = [make_camera(camera, clock) for camera in config.cameras]
    counts = [0] * len(sources)
    stopping = threading.Event()

    def read(ix: int) -> None:
        sources[ix].open()
        while not stopping.is_set():
            counts[ix] += sources[ix].read(1.0) is not None
        sources[ix].close()

    threads = [threading.Thread(target=read, args=(ix,)) for ix in range(len(sources))]
    for thread in threads:
        thread.start()
    time.sleep(2.0)
    cpu_s, frames = time.process_time(), sum(counts)
    time.sleep(measure_s)
    answer.put({"frames": sum(counts) - frames, "cpu_s": time.process_time() - cpu_s})
    stopping.set()
    for thread in threads:
        thread.join(5.0)


def in_process(target: Any, *arguments: object) -> dict[str, Any]:
    """Run a function in a fresh process and return what it answers."""
    context = mp.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=target, args=(*arguments, answer))
    process.start()
    found: dict[str, Any] = answer.get(timeout=600)
    process.join(30.0)
    return found


def report(cart: dict[str, Any], reading: dict[str, Any], measured_s: float) -> dict[str, Any]:
    """Put figures together, per frame."""

    def per_frame_ms(cpu_s: float, frames: int) -> float:
        return round(cpu_s / frames * 1000.0, 3)

    frames = cart["frames"]
    else_ms = per_frame_ms(cart["cpu_s"] - cart["inference_cpu_s"], frames)
    reading_ms = per_frame_ms(reading["cpu_s"], reading["frames"])
    return {
        "machine": {"cpus": psutil.cpu_count(), "platform": platform.platform()},
        "engine": cart["engine"],
        "cameras": len(CAMERAS),
        "measured_s": measured_s,
        "frames": frames,
        "inferences": cart["inferences"],
        "events": cart["events"],
        "rss_mb": {name: round(value, 1) for name, value in cart["rss_mb"].items()},
        "rss_budget_mb": BUDGET_MB,
        "rss_within_budget": cart["rss_mb"]["peak"] <= BUDGET_MB,
        "cpu_ms_per_frame": {
            "all": per_frame_ms(cart["cpu_s"], frames),
            "inference": per_frame_ms(cart["inference_cpu_s"], frames),
            "everything_else": else_ms,
            "of_which_reading_the_recording": reading_ms,
            "everything_else_without_reading": round(else_ms - reading_ms, 3),
        },
        "cpu_share_of_one_core": round(cart["cpu_s"] / measured_s, 3),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Memory and CPU time of a cart beside its network.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--port", type=int, default=19_464, help="of the health endpoint; 0 leaves it off")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_films(Path(folder))
        write_scale(Path(folder))
        cart = in_process(run_cart, folder, arguments.port, arguments.seconds)
        reading = in_process(read_only, folder, arguments.seconds)
    print(json.dumps(report(cart, reading, arguments.seconds), indent=2))


if __name__ == "__main__":
    main()
