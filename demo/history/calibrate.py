"""`python -m demo.history.calibrate`: what the real model decides in every light.

Written to `decisions.json`, from which history is drawn, so that it looks like what live carts measure.
Run again after the model was trained anew; takes some minutes of CPU.

Each decision goes the way of a live cart: movements of the simulated shoppers, frames of all cameras at
the live rate, the shipped model through ONNX Runtime, and the cart's own fusion with a weighed change.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from demo.carts.camera import BUSY_FPS, view_of
from demo.history.pools import LIGHTS, Pool, Pools, write_pools
from demo.model import MODEL_DIR, present_manifest
from demo.world.faults import SMEAR_LEVEL, SMEAR_PRINT
from demo.world.places import CAMERA_NAMES
from demo.world.shoppers import Move, draw_trip, tastes
from demo.world.stage import Movement, Surroundings, weigh_out
from fleet_agent.basket.fusion import CameraEvidence, Decision, fuse
from fleet_agent.config import CaptureConfig, FusionConfig
from fleet_agent.decoding import decode
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.perception import Detection
from fleet_agent.preprocess import Preprocessor
from training.scenes import Direction, Gesture, LensState, Light, SceneRenderer, SceneState

SCALE_SD_G = 1.5


class Bench:
    """The model, the cameras and the fusion of one cart, without threads or clocks."""

    def __init__(self, seed: int) -> None:
        self._manifest = present_manifest()
        self._engine = OnnxRuntimeModel(MODEL_DIR, self._manifest).engine(len(CAMERA_NAMES))
        self._preprocessor = Preprocessor(self._manifest.input, self._engine.input)
        self._renderers = {name: SceneRenderer(view_of(name)) for name in CAMERA_NAMES}
        self._rng = np.random.default_rng(seed)
        self._fusion = FusionConfig()

    def decide(self, move: Move, around: dict[str, Surroundings]) -> Decision:
        """Return what a cart would decide about one movement."""
        pieces = tuple(weigh_out(self._rng, move.item_ix) for _ in range(move.quantity))
        movement = Movement(move, 0.0, pieces)
        frames: dict[str, list[tuple[Detection, ...]]] = {name: [] for name in CAMERA_NAMES}
        aisle = float(self._rng.random())
        for at_s in self._moments(movement):
            gestures = movement.gestures_at(at_s)
            for name, found in self._look(gestures, around, aisle).items():
                frames[name].append(found)
        change_g = movement.change_g + float(self._rng.normal(0.0, SCALE_SD_G))
        evidence = [CameraEvidence(name, tuple(seen)) for name, seen in frames.items()]
        manifest = self._manifest
        return fuse(evidence, change_g, manifest.classes, self._fusion, temperature=manifest.temperature)

    def _moments(self, movement: Movement) -> list[float]:
        """Return when the frames were taken that a live cart looks at: the newest on either side.

        The agent spends half of its budget on frames from before the weight moved.
        """
        first_s = float(self._rng.uniform(0.0, 1 / BUSY_FPS))
        moments = np.arange(first_s, movement.ends_s, 1 / BUSY_FPS).tolist()
        half = CaptureConfig().event_frames // 2
        before = [at_s for at_s in moments if at_s < movement.lands_s]
        return before[-half:] + [at_s for at_s in moments if at_s >= movement.lands_s][:half]

    def _look(
        self, gestures: tuple[Gesture, ...], around: dict[str, Surroundings], aisle: float
    ) -> dict[str, tuple[Detection, ...]]:
        pixels = []
        for name in CAMERA_NAMES:
            state = SceneState(light=around[name].light, lens=around[name].lens, aisle=aisle)
            pixels.append(self._renderers[name].render(replace(state, gestures=gestures), self._rng))
        boxes = self._preprocessor.fill(pixels)
        found = decode(self._engine.infer(len(pixels)), self._manifest, boxes)
        return {name: tuple(seen) for name, seen in zip(CAMERA_NAMES, found, strict=True)}


def measure_pool(bench: Bench, moves: list[Move], light: float, smear: float) -> Pool:
    """Return the decisions about some movements in one light, with or without a smeared first camera."""
    lit = Light(light)
    around = {name: Surroundings(lit) for name in CAMERA_NAMES}
    if smear:
        around[CAMERA_NAMES[0]] = Surroundings(lit, LensState(smear, SMEAR_PRINT))
    pool = Pool([], [], [], [], [], [])
    for move in moves:
        decision = bench.decide(move, around)
        own = dict(decision.camera_confidence)
        adds = move.direction is Direction.ADD
        right_item = decision.items == (move.item_ix,)
        pool.right.append(right_item and decision.quantity == move.quantity)
        pool.miscounted.append(right_item and decision.quantity != move.quantity and adds)
        pool.posterior.append(round(decision.posterior, 4))
        pool.margin.append(round(decision.margin, 4))
        pool.camera_p.append([round(own.get(name, 0.0), 3) for name in CAMERA_NAMES])
        pool.disagree.append(decision.disagreeing)
    return pool


def main() -> int:
    """Measure every condition and write the file."""
    parser = argparse.ArgumentParser(prog="python -m demo.history.calibrate", description=__doc__)
    parser.add_argument(
        "--movements", type=int, default=150, help="per light and lens (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "decisions.json")
    options = parser.parse_args()
    rng = np.random.default_rng([options.seed, 4])
    moves: list[Move] = []
    while len(moves) < options.movements:
        moves += draw_trip(rng, tastes(options.seed, 0))
    del moves[options.movements :]
    clean: list[Pool] = []
    smeared: list[Pool] = []
    for light in LIGHTS:
        for smear, pools in ((0.0, clean), (SMEAR_LEVEL, smeared)):
            pools.append(measure_pool(Bench(options.seed), moves, light, smear))
            sys.stdout.write(f"light {light:.2f} smear {smear:.2f}: {_summary(pools[-1])}\n")
            sys.stdout.flush()
    write_pools(options.out, Pools(present_manifest().digest, clean, smeared))
    return 0


def _summary(pool: Pool) -> str:
    sure = np.asarray(pool.posterior) >= FusionConfig().accept_posterior
    return (
        f"right {np.mean(pool.right):.3f}, posterior {np.mean(pool.posterior):.3f}, "
        f"asked {1 - sure.mean():.3f}, disagreeing {np.mean(pool.disagree):.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
