"""The one command, in miniature: from scenes to a signed folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from fleet_agent.activation.golden import load_golden
from fleet_agent.activation.signing import trusted_keys, verify_manifest
from fleet_agent.manifest import PRECISIONS, load_manifest
from training.scenes import SceneSampler
from training.settings import TrainSettings

pytestmark = pytest.mark.training

# Learns little, but enough to find something: what finds nothing cannot be measured.
TINY = TrainSettings(
    scenes=48,
    epochs=28,
    batch=8,
    width=8,
    threads=1,
    peak_learning_rate=1e-2,
    average_decay=0.8,
    max_minutes=60,
    sampler=SceneSampler(calm_share=0, empty_hand_share=0, second_hand_share=0, smear_share=0),
)


def test_a_model_is_made_from_scenes_to_signature(tmp_path: Path) -> None:
    """Trained, converted, measured, recorded, signed; a finished run is used again, not made again."""
    import torch

    from training.make_models import make_models
    from training.publish import Amounts
    from training.recipes import Recipe
    from training.sign import keygen
    from training.train import train

    torch.set_num_threads(1)
    recipes = {
        "one": Recipe(TINY, "For this test."),
        "two": Recipe(
            replace(TINY, epochs=1, starts_from="one"), "Goes on.", "**Deliberately bad**: a test."
        ),
    }
    train(replace(TINY, seed=3), tmp_path / "runs" / "one")
    trained = (tmp_path / "runs" / "one" / "weights.pt").stat().st_mtime_ns
    keygen(tmp_path / "keys", tmp_path / "key.pem")
    make_models(
        recipes,
        ["two"],
        tmp_path / "runs",
        tmp_path / "models",
        seed=3,
        key=tmp_path / "key.pem",
        amounts=Amounts(frames=16, events=20, golden_per_camera=4, calibration=8),
    )
    assert (tmp_path / "runs" / "one" / "weights.pt").stat().st_mtime_ns == trained
    folder = tmp_path / "models" / "two"
    manifest = load_manifest(folder)
    assert verify_manifest(folder, trusted_keys(tmp_path / "keys"))
    assert set(manifest.artifacts) == set(PRECISIONS)
    assert len(load_golden(folder, manifest)) == 16
    assert len(manifest.training["scenes_sha256"]) == 64
    assert manifest.training["starts_from"] == "one"
    assert "map50_of_one" in manifest.scores["own_validation"]
    assert "Deliberately bad" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_run_cut_short_is_not_published(tmp_path: Path) -> None:
    """A training that its time limit ended is an error, not a model."""
    from training.errors import UnfinishedRunError
    from training.make_models import make_models
    from training.recipes import Recipe

    recipes = {"one": Recipe(replace(TINY, scenes=8, max_minutes=0.0), "For this test.")}
    with pytest.raises(UnfinishedRunError):
        make_models(recipes, ["one"], tmp_path / "runs", tmp_path / "models", seed=3)
    assert not (tmp_path / "models").exists()
