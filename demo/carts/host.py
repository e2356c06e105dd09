"""All carts of one store in one process: real carts with their own models and updates, simulated senses."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import structlog

from demo.carts.camera import RenderedCamera, view_of
from demo.carts.scale import SimulatedScale
from demo.carts.shopping import CartShopping, Clocks
from demo.carts.theatre import Theatre
from demo.data_dir import DataDir
from demo.world.places import Cart
from demo.world.settings import World
from demo.world.shoppers import Move
from demo.world.truth import TruthLog
from fleet_agent.config import (
    CameraConfig,
    CartConfig,
    HealthConfig,
    MqttConfig,
    ScaleConfig,
    SpoolConfig,
    UpdatesConfig,
)
from fleet_agent.events import ItemEvent
from fleet_agent.launch import Cart as CartProgram
from fleet_agent.launch import Senses
from fleet_agent.ports import SystemClock
from fleet_agent.updates.repository import open_repository
from training.scenes.sprites import item_sprite

log = structlog.get_logger()

# Longest sleep of the loop that moves the shoppers, so that a stop is seen.
MAX_SLEEP_S = 0.5
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Staffing:
    """What all carts of a process share."""

    world: World
    data_dir: DataDir
    start: int
    mqtt: MqttConfig
    updates: UpdatesConfig
    truth: TruthLog
    pace: Callable[[], float] = lambda: 1.0


class LiveCart:
    """One agent and its shoppers."""

    def __init__(self, cart: Cart, shared: Staffing, heard: Callable[["LiveCart", ItemEvent], None]) -> None:
        clock = SystemClock()
        seed = shared.world.settings.seed * 1_000 + cart.index
        store = shared.world.store(cart.store_id)
        theatre = Theatre(
            shared.world, store, cart.cart_id, monotonic_s=clock.monotonic_s, epoch_ms=clock.epoch_ms
        )
        self.cart = cart
        self._program = CartProgram(
            cart_config(cart, shared.data_dir, shared.mqtt, shared.updates),
            clock,
            senses=Senses(
                [
                    RenderedCamera(view_of(name), theatre, seed=seed, monotonic_s=clock.monotonic_s)
                    for name in cart.cameras
                ],
                SimulatedScale(theatre, seed=seed, monotonic_s=clock.monotonic_s),
                lambda event: heard(self, event),
            ),
            alone=False,
            open_repository=open_repository,
        )
        self.shopping = CartShopping(
            shared.world,
            cart,
            start=shared.start,
            theatre=theatre,
            ear=self._program.agent,
            keep=lambda row: shared.truth.write([row]),
            clocks=Clocks(clock.monotonic_s, clock.epoch_ms),
            prepare=lambda move: draw_ahead(cart, move),
            pace=shared.pace,
        )

    def start(self) -> None:
        """Start the cart."""
        self._program.start()

    def stop(self) -> None:
        """Stop the cart and close all it opened."""
        self._program.stop(timeout_s=STOP_TIMEOUT_S)


# A simulated cart is unloaded unseen: at the till its scale is set so that what lay in it is the new zero. So
# the zero walks by some kilograms with every trip, and the range is what years of shopping weigh.
SCALE_RANGE_G = 1e9


def cart_config(
    cart: Cart, data_dir: DataDir, mqtt: MqttConfig, updates: UpdatesConfig | None = None
) -> CartConfig:
    """Return the settings of a simulated cart: those of a real one, its files in the data directory."""
    folder = data_dir.carts / cart.cart_id
    folder.mkdir(parents=True, exist_ok=True)
    return CartConfig(
        store=cart.store_id,
        cart=cart.cart_id,
        simulated=True,
        hardware="simulated",
        # What they show is rendered: no source is opened.
        cameras=tuple(CameraConfig(name=name, kind="images", source="-") for name in cart.cameras),
        spool=SpoolConfig(path=str(folder / "spool.db")),
        scale=ScaleConfig(range_g=SCALE_RANGE_G),
        # All carts of the demo share this machine: one cart that looked less would not make it faster.
        health=HealthConfig(degrade=False),
        mqtt=replace(mqtt),
        updates=updates or UpdatesConfig(),
    )


def draw_ahead(cart: Cart, move: Move) -> None:
    """Draw the item's pictures before the hand moves: the first frame must not wait for them."""
    for name in cart.cameras:
        item_sprite(move.item_id, move.gesture.yaw_deg + view_of(name).yaw_deg, move.gesture.pitch_deg)


class StoreHost:
    """The carts of one store, moved by one thread."""

    def __init__(self, store_id: str, shared: Staffing) -> None:
        self._events: queue.SimpleQueue[tuple[LiveCart, ItemEvent]] = queue.SimpleQueue()
        self.carts = [
            LiveCart(cart, shared, lambda live, event: self._events.put((live, event)))
            for cart in shared.world.carts_in(store_id)
        ]

    def run(self, stopping: threading.Event, on_started: Callable[[], None]) -> None:
        """Run until the stop; agents say farewell at the end."""
        with ExitStack() as started:
            for live in self.carts:
                started.callback(live.stop)
                live.start()
            on_started()
            while not stopping.is_set():
                self._step()
            # All agents say farewell at once, not one after the other.
            _in_parallel([live.stop for live in self.carts])
            started.pop_all()

    def _step(self) -> None:
        due_s = min(live.shopping.step(time.monotonic()) for live in self.carts)
        try:
            live, event = self._events.get(timeout=min(MAX_SLEEP_S, max(0.01, due_s - time.monotonic())))
        except queue.Empty:
            return
        live.shopping.heard(event)


def _in_parallel(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
