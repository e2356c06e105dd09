"""The training itself, in small: it learns, it goes on after a break, it exports what it learned."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from training.dataset import render_set
from training.scenes import SceneSampler
from training.settings import TrainSettings

pytestmark = pytest.mark.training

SMALL = TrainSettings(scenes=16, epochs=2, batch=8, width=8, threads=1)


def test_the_loss_falls_on_a_fixed_batch() -> None:
    """Shown the same eight frames again and again, the network gets them less wrong."""
    import torch

    from training.train import Trainer

    torch.set_num_threads(1)
    settings = replace(SMALL, epochs=24)
    trainer = Trainer(settings, render_set(SceneSampler(), 8, 1))
    losses = [trainer.train_epoch(epoch) for epoch in range(24)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])


def test_mirrored_targets_belong_to_the_mirrored_picture() -> None:
    """What was on the left is on the right; mirroring twice changes nothing."""
    from training.targets import make_targets
    from training.train import mirrored

    scenes = render_set(SceneSampler(calm_share=0, empty_hand_share=0), 4, 2)
    targets = make_targets(scenes, np.arange(4), 20, 0.25)
    once, twice = mirrored(targets), mirrored(mirrored(targets))
    assert np.array_equal(once.heat[..., 0], targets.heat[..., -1])
    at = once.box_weight[:, 0] > 0
    was = targets.box_weight[:, 0, :, ::-1] > 0
    assert np.array_equal(at, was)
    np.testing.assert_allclose(once.boxes[:, 0][at], 1 - targets.boxes[:, 0, :, ::-1][at], atol=1e-6)
    for name in ("heat", "counted", "box_weight", "centre_class"):
        assert np.array_equal(getattr(twice, name), getattr(targets, name))


def test_a_finished_run_exports_what_the_network_computes(tmp_path: Path) -> None:
    """The ONNX file, run by ONNX Runtime, gives what PyTorch gives, for any batch size; peaks only."""
    import onnxruntime
    import torch

    from training.export import export_onnx
    from training.network import CentreDetector, Deployed

    torch.manual_seed(3)
    detector = CentreDetector(20, 8)
    with torch.no_grad():
        detector.scores.weight.normal_(std=0.5)
        detector.train()(torch.rand(8, 3, 160, 160))
    detector.eval()
    export_onnx(detector, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        images = torch.rand(batch, 3, 160, 160)
        with torch.no_grad():
            scores, boxes = (output.numpy() for output in Deployed(detector).eval()(images))
        got_scores, got_boxes = session.run(["scores", "boxes"], {"images": images.numpy()})
        np.testing.assert_allclose(got_boxes, boxes, atol=1e-4)
        # Rounding may decide another cell to be the peak of a flat place; nearly all must agree.
        assert np.mean(np.abs(got_scores - scores) < 1e-3) > 0.999
        assert 0 < (got_scores.max(axis=1) > 0).mean() < 0.26


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """A run stopped after its first epoch and started again does the second one only."""
    from training.run import Progress, finished
    from training.train import train

    times = iter([0.0, 0.0, 0.0, 1.0, *[1e9] * 20])
    train(SMALL, tmp_path, clock_s=lambda: next(times))
    stopped = msgspec.json.decode((tmp_path / "progress.json").read_bytes(), type=Progress)
    assert stopped.epochs_done == 1
    assert finished(tmp_path, SMALL) is None
    train(SMALL, tmp_path)
    done = msgspec.json.decode((tmp_path / "progress.json").read_bytes(), type=Progress)
    assert done.epochs_done == 2
    assert done.losses[0] == stopped.losses[0]
    assert (tmp_path / "model.onnx").stat().st_size > 10_000
    assert msgspec.json.decode((tmp_path / "settings.json").read_bytes(), type=TrainSettings) == SMALL
    run = finished(tmp_path, SMALL)
    assert run is not None
    assert run.facts()["scenes_sha256"] == render_set(SMALL.sampler, SMALL.scenes, SMALL.seed).digest()
    assert finished(tmp_path, replace(SMALL, seed=8)) is None
