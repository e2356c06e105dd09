"""A day of a whole cart in simulated time: does it grow, does anything get stuck?

    python -m benchmarks.soak > soak.json
    python -m benchmarks.soak --hours 2 --trace

Simulated: time, cameras, scale, shopper, and the network (a double that answers at once). Real: the agent
with all its threads, its spool on disk, its delivery, its watchdog. Time jumps from wake-up to wake-up
(`fleet_agent.clock_simulated`), so a day takes as long as the agent's own work. The cameras have their
troubles: one freezes, one goes black, one is unplugged, one hangs in its driver, each now and then.

Memory is looked at once an hour after a full collection and some calm seconds: the process's resident set,
the blocks of Python's allocator, and with `--trace` the bytes Python allocated (`tracemalloc`, three times
slower). Growth is from the end of the warm-up to the end.
"""

import argparse
import gc
import json
import platform
import random
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import psutil

from fleet_agent.config import CaptureConfig, CartConfig, HealthConfig, TelemetryConfig
from fleet_agent.health.machine import Machine
from fleet_agent.health.monitor import Surroundings
from fleet_agent.health.watch import Stuck
from fleet_agent.logs import log_to_stderr
from fleet_agent.ports import Outbox, Outgoing
from fleet_protocol.messages import Ack, Events, Watermark, Window, decode_message, encode_control
from fleet_protocol.topics import parse_topic
from tests.fleet_agent.simulated_cart import Mode, SimulatedCart, running
from tests.fleet_agent.worlds import config

CAMERAS = ("front", "left", "right", "rear")
# Warm-up: caches, buffers and the spool's pages have their size after this.
WARM_UP_HOURS = 2.0
# From one movement of the shopper to the next, in seconds: a busy cart, all day.
PAUSE_S = (8.0, 24.0)
# Pieces in a basket before the shopper pays and the next one comes.
BASKET = 10
# Before memory is looked at, nothing moves for this long: the kept frames are those of a calm cart.
CALM_S = 20.0
# One camera is in trouble for so long, then all are fine for so long.
TROUBLE_S, FINE_S = 90.0, 510.0
TROUBLES: tuple[Mode, ...] = ("frozen", "black", "gone", "wide", "silent", "hangs once")


@dataclass(frozen=True, slots=True)
class Look:
    """Memory at one moment."""

    hour: float
    rss_mb: float
    blocks: int
    traced_mb: float
    threads: int


class ForgetfulCloud:
    """A transport and a cloud that confirms at once and keeps only sums: its own memory must not grow."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.windows = 0
        self.events = 0
        self._seen: dict[tuple[str, str], int] = {}
        self._outbox: Outbox | None = None
        self._ack_topic = ""
        self._lock = threading.Lock()

    @property
    def connected(self) -> bool:
        """Between start and stop."""
        return self._outbox is not None

    def start(self, outbox: Outbox) -> None:
        """Connect at once."""
        self._ack_topic = outbox.plan_connection().subscribe
        outbox.on_connected()
        self._outbox = outbox

    def renew(self) -> None:
        """Be born again."""
        if self._outbox is not None:
            self.start(self._outbox)

    def wake(self) -> None:
        """Take what is there, and confirm it."""
        with self._lock:
            while self._outbox is not None and (messages := self._outbox.take(0.0)):
                for message in messages:
                    self._count(message)
                self._outbox.on_received(self._ack_topic, self._watermark())

    def _count(self, outgoing: Outgoing) -> None:
        message = decode_message(outgoing.topic, outgoing.payload).message
        key = (message.boot, parse_topic(outgoing.topic).channel)
        self._seen[key] = max(message.seq, self._seen.get(key, -1))
        if isinstance(message, Window):
            self.windows += 1
            self.counters.update(message.cnt)
        elif isinstance(message, Events):
            self.events += len(message.cols.id)

    def _watermark(self) -> bytes:
        boots = {boot for boot, _ in self._seen}
        marks = [
            Watermark(boot=boot, **{channel: seq for (of, channel), seq in self._seen.items() if of == boot})
            for boot in boots
        ]
        return encode_control(Ack(acks=marks))

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002  # nothing to wait for
        """Take the last window."""
        self.wake()
        self._outbox = None


class Shopper:
    """Fills baskets, pays, and begins again; moves the cameras' troubles on as well."""

    def __init__(self, cart: SimulatedCart, seed: int) -> None:
        self._cart = cart
        self._rng = random.Random(seed)
        self._basket: list[int] = []
        self._trips = 0
        self.moves = 0
        self.named = 0

    def step(self) -> None:
        """Move one piece, and wait."""
        if not self._basket:
            self._trips += 1
            self._cart.agent.begin_session(f"trip-{self._trips}")
        take = self._basket and (len(self._basket) >= BASKET or self._rng.random() < 0.2)
        item = self._basket.pop(self._rng.randrange(len(self._basket))) if take else self._rng.randrange(3)
        if not take:
            self._basket.append(item)
        self._cart.stage.move(item, pieces=-1 if take else 1)
        self.moves += 1
        told = self._cart.told
        self.named += bool(told) and told[-1].item_id == f"item-{item}"
        told.clear()
        if len(self._basket) >= BASKET:
            self._pay()
        self._trouble()
        self._cart.clock.sleep(self._rng.uniform(*PAUSE_S))

    def _pay(self) -> None:
        """Leave with everything: the scale shows an empty cart again."""
        self._basket.clear()
        self._cart.agent.begin_session(None)
        self._cart.stage.set(shown=None, grams=0.0)
        self._cart.clock.sleep(5.0)
        self._cart.told.clear()

    def _trouble(self) -> None:
        number, into_s = divmod(self._cart.clock.monotonic_s(), TROUBLE_S + FINE_S)
        camera = CAMERAS[int(number) % len(CAMERAS)]
        mode = TROUBLES[int(number) // len(CAMERAS) % len(TROUBLES)]
        for name, source in self._cart.cameras.items():
            troubled = name == camera and into_s >= FINE_S
            if not troubled:
                source.mode = "fine"
                source.hang.set()  # a driver that hung comes back after a while
            elif source.mode == "fine" and not (mode == "hangs once" and into_s > FINE_S + PAUSE_S[1]):
                source.hang.clear()
                source.mode = mode


def look(hour: float) -> Look:
    """Collect, and measure."""
    gc.collect()
    rss = psutil.Process().memory_info().rss
    traced = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
    return Look(
        hour=round(hour, 3),
        rss_mb=round(rss / 1e6, 2),
        blocks=sys.getallocatedblocks(),
        traced_mb=round(traced / 1e6, 3),
        threads=threading.active_count(),
    )


def settings() -> CartConfig:
    """Return the settings of the cart: as shipped, but for waits that fit the troubles."""
    return config(
        telemetry=TelemetryConfig(window_s=60.0),
        capture=CaptureConfig(event_fps=6.0),
        health=HealthConfig(blurred_below=0.0),
    )


def soak(
    hours: float, seed: int, folder: Path, *, looks: int = 24, told: Callable[[Look], None]
) -> dict[str, object]:
    """Run a cart for so many simulated hours; return the figures."""
    cloud = ForgetfulCloud()
    fatal: list[Stuck] = []
    cart = SimulatedCart(
        settings(),
        folder / "spool.db",
        cameras=CAMERAS,
        transport=cloud,
        surroundings=Surroundings(machine=Machine([]), on_stuck=fatal.append),
    )
    begun_s, end_s = cart.clock.monotonic_s(), cart.clock.monotonic_s() + hours * 3600.0
    shopper, seen = Shopper(cart, seed), list[Look]()
    real_s, cpu_s = time.perf_counter(), time.process_time()
    with running(cart):
        while (now_s := cart.clock.monotonic_s()) < end_s:
            if now_s - begun_s >= len(seen) * hours * 3600.0 / looks:
                cart.clock.sleep(CALM_S)
                seen.append(look((now_s - begun_s) / 3600.0))
                told(seen[-1])
            shopper.step()
        cart.clock.sleep(CALM_S)
        seen.append(look(hours))
    return {
        "simulated": True,
        "hours": hours,
        "real_s": round(time.perf_counter() - real_s, 1),
        "cpu_s": round(time.process_time() - cpu_s, 1),
        "cameras": len(CAMERAS),
        "movements": shopper.moves,
        "events": cloud.events,
        "named_rightly": shopper.named,
        "windows": cloud.windows,
        "frames": sum(n for name, n in cloud.counters.items() if name.startswith("frames/")),
        "drops": {name: n for name, n in sorted(cloud.counters.items()) if name.startswith("drop_")},
        "troubles": {name: n for name, n in sorted(cloud.counters.items()) if _is_trouble(name)},
        "stuck": [asdict(stuck) for stuck in fatal],
        "growth": growth(seen, hours),
        "looks": [asdict(one) for one in seen],
    }


def _is_trouble(name: str) -> bool:
    cameras = ("camera_lost", "frozen", "black", "resolution", "reconnects")
    return name.startswith((*cameras, "watchdog", "decider", "spool", "engine"))


def growth(looks: list[Look], hours: float) -> dict[str, float]:
    """Return the mean of the last three looks over that of the first three after the warm-up, minus one."""
    warm = [one for one in looks if one.hour >= min(WARM_UP_HOURS, hours / 4)]
    return {
        "from_hour": warm[0].hour,
        "rss": _growth([one.rss_mb for one in warm]),
        "blocks": _growth([one.blocks for one in warm]),
        "traced": _growth([one.traced_mb for one in warm]),
    }


def _growth(values: Sequence[float]) -> float:
    first, last = mean(values[:3]), mean(values[-3:])
    return round(last / first - 1.0, 4) if first else 0.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="A day of a whole cart in simulated time.")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="count the bytes that Python allocates")
    arguments = parser.parse_args()
    log_to_stderr()
    if arguments.trace:
        tracemalloc.start()
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(
            arguments.hours,
            arguments.seed,
            Path(folder),
            told=lambda one: print(one, flush=True, file=sys.stderr),
        )
    print(json.dumps({"machine": platform.platform(), **figures}, indent=2))


if __name__ == "__main__":
    main()
