"""How well carts recognise what is put in: frames, movements, and whole baskets of ten pieces.

    python -m benchmarks.recognition --cache /tmp/frames > recognition.json

Rendered scenes that no model was trained on: other seeds, other aisles, other lens prints, five conditions of
light and dirt, one of them darker than any training frame. Every movement goes the way of a live cart: the
frames that the agent would look at, its engine on ONNX Runtime's CPU provider, its decoder, its fusion with a
weighed change, its books. Nothing reported here was used for any choice: temperatures come from training's
own seeds, settings of the fusion from `--tuning`, which are other seeds.

A basket is a trip: some eleven movements until ten pieces lie in the cart, ten percent of the picks two
pieces at once, some put back. Its movements are its own: none is used in a second basket. `alone`: the cart's
best guess is booked whatever it is; `with_scans`: what it asks about is scanned. `one_frame` is a single
camera's single frame, which often shows only part of an item. Intervals are Wilson's, 95 %; movements of one
trip share light and place, so those of events are somewhat too narrow.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from benchmarks.recognition_cart import Eyes, JudgedTrip, SeenTrip, Till, right_without_scale
from benchmarks.recognition_pairs import PairShots, judge_pairs, render_pairs
from benchmarks.recognition_scenes import CONDITIONS, REPORTED, TUNING, trips
from fleet_agent.config import FusionConfig
from fleet_agent.manifest import Precision, load_manifest
from training.dataset import SceneSet, held_out_views, render_set
from training.measure import map50
from training.metrics import calibration_error
from training.scenes import CATALOGUE, SceneSampler

MODELS = Path(__file__).parents[1] / "fleet_agent" / "models"
# Of the standard normal distribution: 95 % lie within.
Z95 = 1.959964
# Scenes for average precision: seeds far from those of training and of the trips.
SCENE_SEED = 930_000
WEAKEST = 4  # items named in the report


@dataclass(frozen=True, slots=True)
class Load:
    """What all models are measured on.

    Attributes:
        cache: Folder of rendered trips.
        first_seed: Of the trips.
        trips: How many.
        scenes: Frames for average precision, by light.
        pairs: Movements of two items at once.
        scale_sd_g: How exact the simulated scale is.
    """

    cache: Path
    first_seed: int
    trips: int
    scenes: dict[str, SceneSet]
    pairs: list[PairShots]
    scale_sd_g: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(argv)
    cv2.setNumThreads(1)
    load = Load(
        options.cache,
        TUNING if options.tuning else REPORTED,
        options.trips,
        _scenes(options.frames),
        list(render_pairs(options.pairs, tuning=options.tuning)),
        options.scale_sd_g,
    )
    report: dict[str, Any] = {
        "benchmark": "recognition",
        "machine": platform.machine(),
        "seeds": {"trips": load.first_seed, "scenes": SCENE_SEED, "reported": not options.tuning},
        "trips": load.trips,
        "frames_for_map50": options.frames,
        "scale_sd_g": load.scale_sd_g,
        "fusion": "default settings of the cart",
        "models": {},
    }
    for version in options.models:
        report["models"][version] = _version(MODELS / version, options.precisions, load)
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recognition", description=__doc__)
    present = sorted(path.parent.name for path in MODELS.glob("*/manifest.json"))
    parser.add_argument("--models", nargs="+", default=present, choices=present)
    parser.add_argument(
        "--precisions", nargs="+", default=list(get_args(Precision)), choices=get_args(Precision)
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder of rendered trips; 26 MB a trip")
    parser.add_argument("--trips", type=int, default=300)
    parser.add_argument("--frames", type=int, default=1000, help="scenes per light for average precision")
    parser.add_argument("--pairs", type=int, default=120, help="movements of two different items at once")
    parser.add_argument("--scale-sd-g", type=float, default=FusionConfig().scale_sd_g)
    parser.add_argument("--tuning", action="store_true", help="the seeds on which settings may be chosen")
    return parser.parse_args(argv)


def _scenes(frames: int) -> dict[str, SceneSet]:
    """Render scenes for average precision; every frame is one camera's."""
    samplers = {"all": SceneSampler(), "dim": SceneSampler(light_level=(0.22, 0.40))}
    return {
        light: render_set(sampler, frames, SCENE_SEED + number, held_out_views())
        for number, (light, sampler) in enumerate(samplers.items())
    }


def _version(directory: Path, precisions: Sequence[Precision], load: Load) -> dict[str, Any]:
    """Measure a model in every precision that it has, and compare them with FP32."""
    chosen = [precision for precision in precisions if precision in load_manifest(directory).artifacts]
    measured: dict[str, dict[str, Any]] = {one: _measure(directory, one, load) for one in chosen}
    return {**measured, "points_below_fp32": _below_fp32(measured)}


def _measure(directory: Path, precision: Precision, load: Load) -> dict[str, Any]:
    begun_s = time.monotonic()
    eyes = Eyes(directory, precision)
    precise = {light: round(map50(eyes.network, scenes), 4) for light, scenes in load.scenes.items()}
    seen = [eyes.watch(frames) for frames in trips(load.cache, load.first_seed, load.trips)]
    settings = FusionConfig()
    alone, scanned = (
        [till.judge(trip) for trip in seen]
        for till in (
            Till(eyes.manifest, settings, scale_sd_g=load.scale_sd_g, scans=scans) for scans in (False, True)
        )
    )
    report = {
        "map50": precise,
        "temperature": eyes.manifest.temperature,
        "one_frame": _without_scale(eyes, seen, cameras=1, one_frame=True),
        "one_camera": _without_scale(eyes, seen, cameras=1),
        "four_cameras": _without_scale(eyes, seen, cameras=4),
        "four_cameras_and_weight": _events(scanned),
        "whole_baskets": {"alone": _baskets(alone), "with_scans": _baskets(scanned)},
        "two_items_at_once": _pairs(eyes, load),
        "by_condition": {name: _condition(name, alone, scanned) for name in CONDITIONS},
        "weakest_items": _weakest(scanned),
        "seconds": round(time.monotonic() - begun_s, 1),
    }
    eyes.close()
    return report


def _without_scale(eyes: Eyes, seen: Sequence[SeenTrip], *, cameras: int, one_frame: bool = False) -> Any:
    return share(
        right
        for trip in seen
        for right in right_without_scale(trip, cameras, eyes.manifest, one_frame=one_frame)
    )


def _events(judged: Sequence[JudgedTrip]) -> dict[str, Any]:
    """Return how often all senses together are right, how often they ask, and how honest the posterior is."""
    decisions = [decision for trip in judged for decision in trip.decisions]
    posterior = np.array([decision.posterior for decision in decisions])
    right = np.array([decision.right for decision in decisions])
    return {
        "right": share(right.tolist()),
        "asked": share(not decision.accepted for decision in decisions),
        "right_among_accepted": share(decision.right for decision in decisions if decision.accepted),
        "ece": round(calibration_error(posterior, right), 4),
        "mean_posterior": round(float(posterior.mean()), 4),
    }


def _baskets(judged: Sequence[JudgedTrip]) -> dict[str, Any]:
    return share(trip.basket_right for trip in judged)


def _condition(name: str, alone: Sequence[JudgedTrip], scanned: Sequence[JudgedTrip]) -> dict[str, Any]:
    here = [trip for trip in scanned if trip.condition == name]
    return {**_events(here), "baskets_alone": _baskets([trip for trip in alone if trip.condition == name])}


def _pairs(eyes: Eyes, load: Load) -> dict[str, Any]:
    judged = judge_pairs(eyes, load.pairs, load.scale_sd_g)
    return {
        "right": share(pair.right for pair in judged),
        "accepted": share(pair.accepted for pair in judged),
        "wrong_among_accepted": share(not pair.right for pair in judged if pair.accepted),
    }


def _weakest(judged: Sequence[JudgedTrip]) -> dict[str, Any]:
    """Return the items that all senses together get wrong most often."""
    by_item: dict[int, list[bool]] = {}
    for trip in judged:
        for decision in trip.decisions:
            by_item.setdefault(decision.item_ix, []).append(decision.right)
    worst = sorted(by_item, key=lambda ix: float(np.mean(by_item[ix])))[:WEAKEST]
    return {CATALOGUE[ix].item_id: share(by_item[ix]) for ix in worst}


def _below_fp32(measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return by how many points the other precisions are worse on the same frames; negative is better."""
    if "fp32" not in measured:
        return {}
    reference = _figures(measured["fp32"])
    return {
        precision: {name: round(100 * (reference[name] - value), 2) for name, value in _figures(one).items()}
        for precision, one in measured.items()
        if precision != "fp32"
    }


def _figures(one: dict[str, Any]) -> dict[str, float]:
    return {
        "map50": one["map50"]["all"],
        "map50_dim": one["map50"]["dim"],
        "one_frame": one["one_frame"]["share"],
        "one_camera": one["one_camera"]["share"],
        "four_cameras": one["four_cameras"]["share"],
        "four_cameras_and_weight": one["four_cameras_and_weight"]["right"]["share"],
        "whole_baskets_alone": one["whole_baskets"]["alone"]["share"],
    }


def share(rights: Iterable[bool]) -> dict[str, Any]:
    """Return a share with Wilson's interval (Wilson 1927; 95 %) and how many it was measured on."""
    values = list(rights)
    n, right = len(values), sum(values)
    if not n:
        return {"share": None, "n": 0}
    p = right / n
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"share": round(p, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


if __name__ == "__main__":
    sys.exit(main())
