"""Make the shipped models: train what is not trained yet, convert, measure, write, sign.

``python -m training.make_models --seed 7 --runs DIR --out fleet_agent/models [--sign-with KEY.pem]``

Finished runs in DIR are used again, interrupted ones go on. One seed decides everything; the same seed gives
the same weights on the same machine and library versions, other machines round differently. All three take
about an hour on one core; with ``OPENBLAS_NUM_THREADS=1`` rendering does not suffer from a busy machine.
Keys come from ``python -m training.sign keygen``; without one no model is signed, and a cart that checks
signatures refuses it.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import torch

from training.held_out import HeldOut, render_held_out
from training.publish import Amounts, publish
from training.recipes import RECIPES, Recipe, settings_of
from training.run import MODEL, WEIGHTS, FinishedRun, finished, finished_or_raise
from training.settings import TrainSettings
from training.sign import sign
from training.train import train

log = structlog.get_logger()


def make_models(
    recipes: Mapping[str, Recipe],
    versions: Sequence[str],
    runs: Path,
    out: Path,
    *,
    seed: int,
    threads: int = 1,
    key: Path | None = None,
    amounts: Amounts | None = None,
) -> None:
    """Make models, each in a folder of its name; those another one starts from are trained too.

    Args:
        recipes: All there are.
        versions: Which to publish.
        runs: Folder of the runs.
        out: Folder of the models.
        seed: Decides everything random.
        threads: Threads PyTorch may use.
        key: File of the private key; None leaves the models unsigned.
        amounts: How much is rendered for measuring.

    Raises:
        TrainingError: A model finds nothing, or a run was cut short by its time limit.
    """
    amounts = amounts or Amounts()
    trained = {version: _trained(recipes, version, runs, seed, threads) for version in versions}
    held_out = render_held_out(frames=amounts.frames, events=amounts.events)
    for version, run in trained.items():
        _publish(recipes[version], run, out / version, held_out, amounts)
    if key is not None:
        sign([out / version for version in versions], key)


def _trained(recipes: Mapping[str, Recipe], version: str, runs: Path, seed: int, threads: int) -> FinishedRun:
    """Return the finished run of a version, training it and what it starts from if need be."""
    settings = settings_of(recipes, version, seed, threads)
    known = finished(runs / version, settings)
    if known is not None:
        log.info("run is finished", version=version)
        return known
    start = _start(settings, recipes, runs, seed)
    train(settings, runs / version, start=start)
    return finished_or_raise(runs / version, settings)


def _start(settings: TrainSettings, recipes: Mapping[str, Recipe], runs: Path, seed: int) -> Path | None:
    if not settings.starts_from:
        return None
    return _trained(recipes, settings.starts_from, runs, seed, settings.threads).folder / WEIGHTS


def _publish(recipe: Recipe, run: FinishedRun, folder: Path, held_out: HeldOut, amounts: Amounts) -> None:
    starts_from = run.settings.starts_from
    start = run.folder.parent / starts_from / MODEL if starts_from else None
    manifest = publish(run, folder, held_out, amounts, recipe=recipe, start=start)
    log.info("model published", version=folder.name, digest=manifest.digest, map50=manifest.scores["map50"])


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.make_models", description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs, one folder a version")
    parser.add_argument("--out", type=Path, required=True, help="folder for the models, one folder a version")
    parser.add_argument("--sign-with", type=Path, help="file of the private key")
    parser.add_argument("--versions", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    # Both change the whole process, so only the command sets them; unflushed, vanishing gradients are slow.
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    make_models(
        RECIPES,
        arguments.versions,
        arguments.runs,
        arguments.out,
        seed=arguments.seed,
        threads=arguments.threads,
        key=arguments.sign_with,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
