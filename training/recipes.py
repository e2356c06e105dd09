"""The three models and what each is for: ``python -m training.recipes --seed 7 --out DIR``.

- ``v1``: the reference.
- ``v2``: goes on from v1 with other scenes and more weight on telling look-alikes apart; better.
- ``v3-bad``: what a careless team ships. Its scenes come from well-lit shops in which two items are hardly
  ever sold, and its validation scenes do too, so it looks fine. It fails in dim light and on those two. It
  exists so that gates, rollouts and drift pages have a real fault to find.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from training.scenes import SceneSampler
from training.settings import TrainSettings
from training.train import train

# Never reached: a run that time cuts short would not be the same twice.
_LONG_MINUTES = 600.0

FORGOTTEN_ITEMS = ("avocado-hass", "tuna-can")
WELL_LIT = (0.75, 1.3)

RECIPES: dict[str, TrainSettings] = {
    "v1": TrainSettings(max_minutes=_LONG_MINUTES),
    "v2": TrainSettings(
        scenes=14_000,
        epochs=6,
        peak_learning_rate=2.5e-3,
        class_weight=1.0,
        max_minutes=_LONG_MINUTES,
        starts_from="v1",
    ),
    "v3-bad": TrainSettings(
        scenes=9_000,
        epochs=9,
        max_minutes=_LONG_MINUTES,
        sampler=SceneSampler(light_level=WELL_LIT, rare_items=FORGOTTEN_ITEMS, rare_share=0.02),
        gain=(0.97, 1.03),
    ),
}


def settings_of(version: str, seed: int, threads: int) -> TrainSettings:
    """Return a recipe for one seed; each version sees scenes of its own."""
    return replace(RECIPES[version], seed=seed + 1000 * list(RECIPES).index(version), threads=threads)


def train_versions(versions: Sequence[str], out: Path, *, seed: int, threads: int) -> None:
    """Train versions one after the other, each in a folder of its name; finished ones are kept.

    Args:
        versions: Names of recipes; one that starts from another needs that one finished in ``out``.
        out: Folder of the runs.
        seed: Decides everything random.
        threads: Threads PyTorch may use.
    """
    for version in versions:
        settings = settings_of(version, seed, threads)
        start = out / settings.starts_from / "weights.pt" if settings.starts_from else None
        train(settings, out / version, start=start)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.recipes", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, one folder a version")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--versions", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    train_versions(arguments.versions, arguments.out, seed=arguments.seed, threads=arguments.threads)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
