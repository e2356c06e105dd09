"""Writes the past of all carts: draws it, sends it, waits until it is durable, and notes that it is."""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from demo.data_dir import DataDir, write_atomically
from demo.errors import HistoryError
from demo.history.eyes import Measure, MeasuredEyes, measure_eyes
from demo.history.messages import CartPast, Models, PastMessage
from demo.history.outbox import HistoryOutbox
from demo.world.places import CAMERA_NAMES
from demo.world.settings import World
from demo.world.truth import open_truth
from fleet_agent.ports import Transport

log = structlog.get_logger()

# Nothing became durable for this long: ingest or the warehouse hangs. Lower gives up on a machine
# that is merely slow.
STALLED_AFTER_S = 90.0
LOOK_S = 0.5
# The colour of the light hardly changes brightness or sharpness: one table serves all stores.
TYPICAL_KELVIN = 4700.0


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and how long that took."""

    messages: int
    events: int
    took_s: float


def cart_pasts(world: World, models: Models, measure: Measure) -> list[CartPast]:
    """Draw the past of every cart."""
    eyes: MeasuredEyes = measure_eyes(CAMERA_NAMES, TYPICAL_KELVIN, measure, world.settings.seed)
    return [CartPast(world, cart, models, eyes) for cart in world.carts]


def in_order(pasts: list[CartPast]) -> Iterator[PastMessage]:
    """Yield the messages of all carts in order of time, so that rollups see each hour once."""
    return heapq.merge(*(past.messages() for past in pasts), key=lambda message: message.at_ms)


def write_history(pasts: list[CartPast], transport: Transport, truth: Path) -> Written:
    """Send everything and wait until it is durable.

    Raises:
        HistoryError: nothing became durable for a long time.
    """
    begun_s = time.monotonic()
    outbox = HistoryOutbox(in_order(pasts))
    transport.start(outbox)
    try:
        with open_truth(truth) as log_of_truth:
            for past in pasts:
                log_of_truth.write(past.truth())
        _wait(outbox)
    finally:
        transport.stop(timeout_s=5.0)
    events = sum(len(past.decisions) for past in pasts)
    return Written(outbox.written, events, time.monotonic() - begun_s)


def _wait(outbox: HistoryOutbox) -> None:
    written, since_s = 0, time.monotonic()
    while not outbox.finished.wait(LOOK_S):
        if outbox.written != written:
            written, since_s = outbox.written, time.monotonic()
        elif time.monotonic() - since_s > STALLED_AFTER_S:
            raise HistoryError(
                f"The history stopped after {written} messages: nothing became durable for "
                f"{STALLED_AFTER_S:.0f} s. Look at the logs of ingest and of the warehouse."
            )


def mark_complete(data_dir: DataDir, written: Written) -> None:
    """Note that all of the history is durable: the next start does not write it again."""
    write_atomically(
        data_dir.history,
        {
            "complete": True,
            "messages": written.messages,
            "events": written.events,
            "took_s": round(written.took_s, 1),
        },
    )
