"""A camera that renders what happens at its cart."""

import zlib
from collections.abc import Callable

import numpy as np

from demo.carts.theatre import Theatre
from fleet_agent.perception import Frame, Pixels
from training.scenes import CAMERAS, CameraView, SceneRenderer

# Frames per second while a hand is in the picture: what the agent looks at most. More is CPU for
# nothing, fewer leaves gestures with one or two useful frames.
BUSY_FPS = 6.0
# Frames per second of a calm cart. More costs CPU all day; fewer makes brightness slow to show.
IDLE_FPS = 0.4
# One step along the shelves per movement, and the picture does not change in between, so that the
# renderer's kept background serves all calm frames.
FRAME_WIDTH = 320


class RenderedCamera:
    """`CameraSource` of one camera of one simulated cart.

    Args:
        view: Where it sits on the rim.
        theatre: What happens at the cart.
        seed: Of the sensor noise.
        monotonic_s: The clock frames are stamped with.
    """

    def __init__(
        self,
        view: CameraView,
        theatre: Theatre,
        *,
        seed: int,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._view = view
        self._theatre = theatre
        self._monotonic_s = monotonic_s
        self._rng = np.random.default_rng([seed, zlib.crc32(view.name.encode())])
        self._renderer: SceneRenderer | None = None
        self._next_idle_s = 0.0
        self._last_s = -1e9
        self._last_pixels: Pixels | None = None

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self._view.name

    def open(self) -> None:
        """Get ready to render."""
        self._renderer = SceneRenderer(self._view, width=FRAME_WIDTH, backgrounds_kept=2)
        # Cameras of one cart do not all give their calm frames in the same instant.
        self._next_idle_s = self._monotonic_s() + float(self._rng.uniform(0, 1 / IDLE_FPS))

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame: soon while a hand is in the picture, seldom on a calm cart."""
        deadline_s = self._monotonic_s() + timeout_s
        while (now_s := self._monotonic_s()) < deadline_s:
            seen = self._theatre.changes
            due_s = self._due_s(now_s)
            if now_s >= due_s:
                return self._render(now_s)
            self._theatre.wait(seen, min(due_s, deadline_s))
        return None

    def _due_s(self, now_s: float) -> float:
        soonest_s = self._last_s + 1 / BUSY_FPS
        if self._theatre.stage.busy_at(max(now_s, soonest_s)):
            return soonest_s
        return self._next_idle_s

    def _render(self, now_s: float) -> Frame:
        if self._renderer is None:
            self.open()
        if self._renderer is None:
            msg = "an open camera has a renderer"
            raise AssertionError(msg)
        self._last_s = now_s
        self._next_idle_s = now_s + 1 / IDLE_FPS
        if self._last_pixels is None or not self._theatre.frozen(self.name):
            scene = self._theatre.stage.scene(now_s, self._theatre.surroundings(self.name))
            self._last_pixels = self._renderer.render(scene, self._rng)
        return Frame(self.name, self._last_pixels, now_s)

    def close(self) -> None:
        """Forget the drawn backgrounds."""
        self._renderer = None


def view_of(camera: str) -> CameraView:
    """Return where a camera of a simulated cart sits.

    Raises:
        KeyError: simulated carts have no such camera.
    """
    return {view.name: view for view in CAMERAS}[camera]
