"""The one command, in miniature: two models from nothing to signed folders."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
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


def recipes() -> Mapping[str, object]:
    """Two tiny recipes, the second going on from the first."""
    from training.recipes import Recipe

    return {
        "one": Recipe(TINY, "For this test."),
        "two": Recipe(
            replace(TINY, epochs=1, starts_from="one"), "Goes on.", "**Deliberately bad**: a test."
        ),
    }


def test_two_models_from_nothing_to_signed_folders(tmp_path: Path) -> None:
    """Trained, converted, measured, recorded, signed; asked again, only what was trained is used again."""
    import torch

    from training.make_models import make_models
    from training.publish import Amounts
    from training.sign import keygen

    torch.set_num_threads(1)
    keygen(tmp_path / "keys", tmp_path / "key.pem")
    amounts = Amounts(frames=16, events=20, golden_per_camera=4, calibration=8)

    def make(version: str) -> None:
        make_models(
            recipes(),  # type: ignore[arg-type]
            [version],
            tmp_path / "runs",
            tmp_path / "models",
            seed=3,
            key=tmp_path / "key.pem",
            amounts=amounts,
        )

    make("two")
    trained = (tmp_path / "runs" / "one" / "weights.pt").stat().st_mtime_ns
    make("one")
    assert (tmp_path / "runs" / "one" / "weights.pt").stat().st_mtime_ns == trained
    for version in ("one", "two"):
        folder = tmp_path / "models" / version
        manifest = load_manifest(folder)
        assert verify_manifest(folder, trusted_keys(tmp_path / "keys"))
        assert set(manifest.artifacts) == set(PRECISIONS)
        assert len(load_golden(folder, manifest)) == 16
        assert len(manifest.training["scenes_sha256"]) == 64
        assert "Deliberately bad" in (folder / "MODEL_CARD.md").read_text() or version == "one"
    second = load_manifest(tmp_path / "models" / "two")
    assert "map50_of_one" in second.scores["own_validation"]
    assert msgspec.json.encode(second)
