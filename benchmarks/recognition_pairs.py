"""Two different items put in with two hands at once, for `benchmarks.recognition`: rendered as trips are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.recognition_cart import Eyes
from benchmarks.recognition_scenes import CAMERAS, REPORTED, TUNING, Images
from demo.carts.camera import BUSY_FPS
from demo.world.shoppers import Move, draw_trip, tastes
from demo.world.stage import weigh_out
from fleet_agent.basket.evidence import CameraEvidence
from fleet_agent.basket.fusion import fuse
from fleet_agent.config import CaptureConfig, FusionConfig
from training.dataset import held_out_views, shrink
from training.scenes import CARRIED_PART, Direction, Gesture, Light, SceneRenderer, SceneState

# Where across the opening the two hands come in, on either side of the middle.
LANE = 0.45
# Seeds of pairs, apart from those of trips.
APART = 5_000


@dataclass(frozen=True, slots=True)
class PairShots:
    """Two items at once.

    Attributes:
        items: Their classes.
        weight_g: What they really weigh together.
        shots: uint8 (moments, cameras, 120, 160, 3), blue first.
    """

    items: frozenset[int]
    weight_g: float
    shots: Images


def render_pairs(count: int, *, tuning: bool) -> Iterator[PairShots]:
    """Yield movements of two different items; the same count gives the same pixels."""
    rng = np.random.default_rng((TUNING if tuning else REPORTED) + APART)
    renderers = [SceneRenderer(view) for view in held_out_views()]
    for _ in range(count):
        first, second = _two_moves(rng)
        side = LANE if first.gesture.lane > 0 else -LANE
        hands = (
            replace(first.gesture, lane=side),
            replace(second.gesture, lane=-side, duration_s=first.gesture.duration_s),
        )
        weight_g = sum(weigh_out(rng, move.item_ix).weight_g for move in (first, second))
        items = frozenset({first.item_ix, second.item_ix})
        yield PairShots(items, weight_g, _shoot(rng, renderers, hands))


def _two_moves(rng: np.random.Generator) -> tuple[Move, Move]:
    taste = tastes(int(rng.integers(1 << 31)), 0)
    while True:
        adds = [move for move in draw_trip(rng, taste) if move.direction is Direction.ADD]
        if len(adds) > 1 and adds[0].item_ix != adds[1].item_ix:
            return adds[0], adds[1]


def _shoot(
    rng: np.random.Generator, renderers: list[SceneRenderer], hands: tuple[Gesture, Gesture]
) -> Images:
    """Return the frames that an agent looks at, as of any movement into the cart."""
    light, aisle = Light(float(rng.uniform(0.45, 1.3)), float(rng.uniform(3200, 6500))), float(rng.random())
    lasts_s = hands[0].duration_s
    moments = np.arange(float(rng.uniform(0.0, 1 / BUSY_FPS)), lasts_s, 1 / BUSY_FPS)
    half, lands_s = CaptureConfig().event_frames // 2, CARRIED_PART * lasts_s
    rows = []
    for at_s in [*moments[moments < lands_s][-half:], *moments[moments >= lands_s][:half]]:
        gestures = tuple(replace(hand, phase=float(at_s) / lasts_s) for hand in hands)
        scene = SceneState(gestures, light=light, aisle=aisle)
        rows.append([shrink(renderer.render(scene, rng))[..., ::-1] for renderer in renderers])
    return np.array(rows, np.uint8)


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """One decision about two items: whether both were named, and whether the cart asked."""

    right: bool
    accepted: bool


def judge_pairs(eyes: Eyes, pairs: list[PairShots], scale_sd_g: float) -> list[JudgedPair]:
    """Decide about movements of two items as a cart does."""
    rng = np.random.default_rng(APART)
    judged = []
    for pair in pairs:
        seen = [eyes.look(shots) for shots in pair.shots]
        evidence = [
            CameraEvidence(name, tuple(moment[camera] for moment in seen))
            for camera, name in enumerate(CAMERAS)
        ]
        decision = fuse(
            evidence,
            pair.weight_g + float(rng.normal(0.0, scale_sd_g)),
            eyes.manifest.classes,
            FusionConfig(),
            temperature=eyes.manifest.temperature,
        )
        right = decision.kind == "pair" and frozenset(decision.items) == pair.items
        judged.append(JudgedPair(right, decision.outcome == "accepted"))
    return judged
