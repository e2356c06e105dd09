"""A small world for stories about a cart: three plain-coloured items, cameras and a scale one can move."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fleet_agent.config import CartConfig, SpoolConfig
from fleet_agent.manifest import Artifact, CenterDecoder, InputSpec, ItemClass, ModelManifest
from fleet_agent.perception import Frame, Pixels
from fleet_agent.ports import ScaleReading, SystemClock
from fleet_agent.spool import Spool
from fleet_protocol.messages import EventColumns, Events, Window

STORE, CART = "s001", "s001-c01"
OWNER = f"{STORE}/{CART}"
# Red, green, blue 0..1 of the three items.
COLORS = ((0.9, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.9))
WEIGHTS_G = (150.0, 400.0, 1000.0)
BACKGROUND = 128


def item(ix: int) -> ItemClass:
    """Return one of the three items."""
    return ItemClass(
        item_id=f"item-{ix}",
        name=f"Item {ix}",
        category="test",
        barcode=f"40000{ix}",
        weight_g=WEIGHTS_G[ix],
        weight_sd_g=3.0,
    )


def manifest(*, width: int = 32, height: int = 32, sha256: str = "ab" * 32) -> ModelManifest:
    """Return the manifest of a model of the three items."""
    return ModelManifest(
        schema=2,
        name="test",
        version="t1",
        artifacts={"fp32": Artifact(file="model.onnx", sha256=sha256)},
        input=InputSpec(
            name="images",
            width=width,
            height=height,
            layout="NCHW",
            color="RGB",
            scale=1 / 255,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            letterbox=True,
            pad=114,
        ),
        decoder=CenterDecoder(score_threshold=0.3, max_detections=8, stride=8),
        temperature=1.0,
        classes=tuple(item(ix) for ix in range(3)),
    )


def picture(item_ix: int | None, *, width: int = 160, height: int = 120) -> Pixels:
    """Return a grey picture, with a plain square of an item's colour in its middle."""
    pixels = np.full((height, width, 3), BACKGROUND, np.uint8)
    if item_ix is not None:
        color = [round(255 * c) for c in reversed(COLORS[item_ix])]
        pixels[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = color
    return pixels


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll until something is true; fail when it does not become so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class SteppedClock(SystemClock):
    """A clock that moves when it is told."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self.now_s = start_s

    def monotonic_s(self) -> float:
        """Return the time."""
        return self.now_s

    def epoch_ms(self) -> int:
        """Return the time of day."""
        return 1_790_000_000_000 + round(self.now_s * 1000)


class Bench:
    """A cart on a bench: what its cameras show and what its scale shows is set by the test."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shown: int | None = None
        self._grams = 0.0

    def show(self, item_ix: int | None) -> None:
        """Hold an item into all cameras, or take it away."""
        with self._changed:
            self._shown = item_ix
            self._changed.notify_all()

    def weigh(self, grams: float) -> None:
        """Set what lies on the scale."""
        with self._changed:
            self._grams = grams
            self._changed.notify_all()

    @property
    def shown(self) -> int | None:
        """The item in view."""
        return self._shown

    @property
    def grams(self) -> float:
        """What lies on the scale."""
        return self._grams

    def put(self, item_ix: int, *, pieces: int = 1) -> None:
        """Put pieces of an item into the cart; negative takes them out. Returns when the hand is gone."""
        self.show(item_ix)
        time.sleep(0.3)  # the hand moves; nothing waits for this
        self.weigh(self._grams + pieces * WEIGHTS_G[item_ix])
        time.sleep(0.2)
        self.show(None)


def noisy(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a picture with a sensor's noise: without it a camera looks frozen."""
    noise: Pixels = rng.integers(0, 3, pixels.shape, np.uint8)
    return pixels + noise


class BenchCamera:
    """Shows what the bench shows, 20 times a second."""

    def __init__(self, name: str, bench: Bench) -> None:
        self._name = name
        self._bench = bench
        self._rng = np.random.default_rng(len(name))
        self.opened = 0
        self.frames = 0

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._name

    def open(self) -> None:
        """Count openings."""
        self.opened += 1

    def read(self, timeout_s: float) -> Frame | None:
        """Return a picture after a twentieth of a second."""
        time.sleep(min(0.05, timeout_s))
        self.frames += 1
        return Frame(self._name, noisy(picture(self._bench.shown), self._rng), time.monotonic())

    def close(self) -> None:
        """Nothing is held."""


class BenchScale:
    """Shows what the bench weighs, 30 times a second, with a little noise."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rng = np.random.default_rng(7)

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Return a reading after a thirtieth of a second."""
        time.sleep(min(1 / 30, timeout_s))
        return ScaleReading(self._bench.grams + float(self._rng.normal(0, 1)), time.monotonic())

    def close(self) -> None:
        """Nothing is held."""


def config(**changes: object) -> CartConfig:
    """Return the settings of the bench's cart."""
    return CartConfig(store=STORE, cart=CART, simulated=True, **changes)  # type: ignore[arg-type]


def open_spool(path: Path, limits: SpoolConfig | None = None, *, boot_id: str | None = None) -> Spool:
    """Open the bench cart's spool."""
    return Spool(path, limits or SpoolConfig(), owner=OWNER, boot_id=boot_id)


def window(boot: str, seq: int, *, frames: int = 1, minute: int = 0, model: str = "abcdef012345") -> Window:
    """Return one telemetry window."""
    return Window(
        store=STORE,
        cart=CART,
        boot=boot,
        seq=seq,
        fw="t",
        model=model,
        sim=True,
        t0=minute * 60_000,
        t1=(minute + 1) * 60_000,
        cnt={"frames/front": frames},
    )


def events(boot: str, seq: int, event_id: str = "e1") -> Events:
    """Return a message of one item event."""
    columns = EventColumns(id=[event_id], ts=[0], type=["item"])
    return Events(store=STORE, cart=CART, boot=boot, seq=seq, fw="t", sim=True, t0=1000, cols=columns)
