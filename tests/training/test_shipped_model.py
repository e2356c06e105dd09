"""The model in the repository: whole, readable by its own manifest, and as good as promised."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import fleet_agent
from fleet_agent.decode import decode_center
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeEngine
from fleet_agent.perception import ModelManifest, load_manifest
from fleet_agent.preprocess import Preprocessor
from training import measure
from training.dataset import as_input, shrink
from training.measure import Conditions
from training.scenes import CAMERAS, CATALOGUE, Gesture, SceneRenderer, SceneSampler, SceneState, item_index

FOLDER = Path(fleet_agent.__file__).parent / "models" / "v1"
# Seeds that neither training nor the published scores use.
SEED = 424_242


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    """The shipped manifest."""
    return load_manifest(FOLDER)


@pytest.fixture(scope="module")
def engine(manifest: ModelManifest) -> Iterator[OnnxRuntimeEngine]:
    """The shipped model in the cart's own engine."""
    engine = OnnxRuntimeEngine(FOLDER / "model.onnx", manifest)
    yield engine
    engine.close()


def test_the_file_is_the_manifests(manifest: ModelManifest) -> None:
    """The digest that carts report is that of the file that lies there."""
    assert hashlib.sha256((FOLDER / "model.onnx").read_bytes()).hexdigest() == manifest.sha256
    assert (FOLDER / "model.onnx").stat().st_size < 3_000_000


def test_the_manifest_lists_the_catalogue(manifest: ModelManifest) -> None:
    """Class indices mean the same to the network, the renderer and the warehouse."""
    assert manifest.version == FOLDER.name
    for item, shipped in zip(CATALOGUE, manifest.classes, strict=True):
        assert (item.item_id, item.barcode, item.weight_g) == (
            shipped.item_id,
            shipped.barcode,
            shipped.weight_g,
        )


def test_the_model_card_speaks_of_this_model(manifest: ModelManifest) -> None:
    """The card's digest and score are the manifest's."""
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert manifest.sha256 in card
    assert f"{manifest.scores['map50']:.3f}" in card


def test_the_graph_is_plain_onnx_17(manifest: ModelManifest) -> None:
    """Opset 17, a free batch, the agreed names and shapes: what every engine we know can read."""
    model = onnx.load(str(FOLDER / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]

    def shape(value: onnx.ValueInfoProto) -> list[object]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    shapes = {value.name: shape(value) for value in [*model.graph.input, *model.graph.output]}
    assert shapes["images"] == ["batch", 3, 160, 160]
    assert shapes["scores"][1:] == [len(manifest.classes), 20, 20]
    assert shapes["boxes"][1:] == [4, 20, 20]


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_outputs_have_the_agreed_shapes(engine: OnnxRuntimeEngine, batch: int) -> None:
    """Any batch size works; scores are 0..1 and zero around every peak."""
    rng = np.random.default_rng(1)
    outputs = engine.infer(rng.random((batch, 3, 160, 160), np.float32))
    assert outputs["scores"].shape == (batch, 20, 20, 20)
    assert outputs["boxes"].shape == (batch, 4, 20, 20)
    assert outputs["scores"].min() >= 0
    assert outputs["scores"].max() <= 1
    peaks = outputs["scores"].max(axis=1) > 0
    assert not (peaks[:, 1:, :] & peaks[:, :-1, :]).any()
    assert not (peaks[:, :, 1:] & peaks[:, :, :-1]).any()


def test_a_frame_does_not_depend_on_its_neighbours_in_the_batch(engine: OnnxRuntimeEngine) -> None:
    """All cameras go through in one batch; each gets what it would get alone."""
    batch = np.random.default_rng(2).random((3, 3, 160, 160), np.float32)
    together = engine.infer(batch)
    alone = engine.infer(batch[1:2])
    np.testing.assert_allclose(together["boxes"][1], alone["boxes"][0], atol=1e-4)
    np.testing.assert_allclose(together["scores"][1], alone["scores"][0], atol=1e-4)


def test_held_out_scenes_reach_the_floor(engine: OnnxRuntimeEngine, manifest: ModelManifest) -> None:
    """Freshly rendered scenes of an unused seed score at least what we promise."""
    value = measure.map50(engine, SceneSampler(), frames=240, seed=SEED)
    assert value > 0.82
    assert value > manifest.scores["map50"] - 0.12


def test_single_items_in_view_are_named(engine: OnnxRuntimeEngine, manifest: ModelManifest) -> None:
    """One well-visible item: one camera names it in 88 of 100 events, three cameras in more."""
    events = measure.show_events(
        engine, Conditions(), count=120, seed=SEED + 1, threshold=manifest.decoder.score_threshold
    )
    one = measure.top1(events, 1, manifest.temperature)
    assert one >= 0.88
    assert measure.top1(events, 3, manifest.temperature) >= one - 0.02
    assert measure.view_calibration(events, manifest.temperature) < 0.10


def test_an_empty_cart_is_mostly_left_alone(engine: OnnxRuntimeEngine, manifest: ModelManifest) -> None:
    """Calm carts and empty hands seldom look like an item."""
    rate = measure.false_alarm_rate(
        engine, frames=100, seed=SEED + 2, threshold=manifest.decoder.score_threshold
    )
    assert rate < 0.10


def test_the_carts_own_path_finds_the_item_in_its_place(
    engine: OnnxRuntimeEngine, manifest: ModelManifest
) -> None:
    """Letterbox, network and decoder of the agent: the right item at the right place of the frame."""
    state = SceneState(gestures=(Gesture("cereal-honey", phase=0.3, roll_deg=8, grip=0.2),))
    frame = SceneRenderer(CAMERAS[0]).render_labelled(state, np.random.default_rng(3))
    batch, letterboxes = Preprocessor(manifest.input, 1).fill([frame.pixels])
    best = decode_center(engine.infer(batch), manifest, letterboxes)[0][0]
    assert best.item_ix == item_index()["cereal-honey"]
    np.testing.assert_allclose(best.box, frame.boxes[0].box, atol=0.06)


def test_training_sees_what_the_cart_sees(manifest: ModelManifest) -> None:
    """The training's own preprocessing equals the agent's to within one grey level."""
    frame = SceneRenderer(CAMERAS[2]).render(
        SceneSampler().draw(np.random.default_rng(4)), np.random.default_rng(5)
    )
    theirs, _ = Preprocessor(manifest.input, 1).fill([frame])
    np.testing.assert_allclose(as_input(shrink(frame)[None]), theirs, atol=1.01 / 255)
