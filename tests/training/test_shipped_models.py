"""The models in the repository: whole, signed, fitting their manifests, and as good or bad as told."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest

import fleet_agent
from fleet_agent.activation.golden import FOLDER, Golden, load_golden
from fleet_agent.activation.parity import ParityReport, check
from fleet_agent.activation.signing import trusted_keys, verify_manifest
from fleet_agent.basket.separability import separability
from fleet_agent.decoding import decode
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.errors import GoldenError, ModelError
from fleet_agent.manifest import ModelManifest, Precision, load_manifest
from fleet_agent.ports import SystemClock
from fleet_agent.preprocess import Preprocessor
from training import measure
from training.dataset import SceneSet, as_input, held_out_views, render_set, shrink
from training.held_out import CONDITIONS, render_events
from training.interface import CLASSES
from training.measure import Events
from training.model_card import card_text
from training.recipes import FORGOTTEN_ITEMS, RECIPES
from training.scenes import CAMERAS, Gesture, SceneRenderer, SceneSampler, SceneState, item_index

MODELS = Path(fleet_agent.__file__).parent / "models"
VERSIONS = tuple(RECIPES)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Seeds that neither training nor the published scores use.
SEED = 424_242
# What all models together may weigh in the installed package.
MOST_BYTES = 7_500_000

every_version = pytest.mark.parametrize("version", VERSIONS)
every_precision = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.fixture(scope="module")
def manifests() -> dict[str, ModelManifest]:
    """The shipped manifests."""
    return {version: load_manifest(MODELS / version) for version in VERSIONS}


@pytest.fixture(scope="module")
def models(manifests: dict[str, ModelManifest]) -> Iterator[dict[str, OnnxRuntimeModel]]:
    """The shipped models, FP32, in the cart's own engine."""
    loaded = {
        version: OnnxRuntimeModel(MODELS / version, manifest) for version, manifest in manifests.items()
    }
    yield loaded
    for model in loaded.values():
        model.close()


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    """A few scenes that nobody has seen, in all lights."""
    return render_set(SceneSampler(), 120, SEED, held_out_views())


@pytest.fixture(scope="module")
def events(models: dict[str, OnnxRuntimeModel]) -> dict[str, dict[str, Events]]:
    """What each model sees of fresh events, two of each item, by version and light."""
    shown = {name: render_events(CONDITIONS[name], 40, SEED + 1) for name in ("ordinary", "dim")}
    return {
        version: {name: measure.show(model, views) for name, views in shown.items()}
        for version, model in models.items()
    }


def check_all(folder: Path) -> None:
    """Do all that a cart does to a folder before it runs what lies in it."""
    verify_manifest(folder, trusted_keys(MODELS / "keys"))
    manifest = load_manifest(folder)
    load_golden(folder, manifest)
    for precision in PRECISIONS:
        OnnxRuntimeModel(folder, manifest, precision=precision).close()


def recall(events: Events, *, without: tuple[str, ...] = ()) -> float:
    """Return the mean over items of the share of views rightly named."""
    shares = measure.recall_by_item(events)
    return float(np.mean([share for item_id, share in shares.items() if item_id not in without]))


@every_version
def test_files_are_the_manifests(version: str, manifests: dict[str, ModelManifest]) -> None:
    """Every ONNX file and every golden frame has the digest that the manifest says, and there is no other."""
    manifest, folder = manifests[version], MODELS / version
    assert manifest.version == version
    assert set(manifest.artifacts) == set(PRECISIONS)
    wanted = {artifact.file: artifact.sha256 for artifact in manifest.artifacts.values()}
    wanted |= {f"{FOLDER}/{frame.file}": frame.sha256 for frame in manifest.golden}
    for name, sha256 in wanted.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    others = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - set(wanted)
    assert others == {"manifest.json", "manifest.sig", "MODEL_CARD.md"}


@every_version
def test_the_shipped_key_signed_it(version: str) -> None:
    """A cart that trusts the shipped key accepts the manifest."""
    trusted = trusted_keys(MODELS / "keys")
    assert verify_manifest(MODELS / version, trusted) in trusted


@pytest.mark.parametrize(
    "name", ["manifest.json", "model.onnx", "model.fp16.onnx", "model.int8.onnx", "golden/front-00.jpg"]
)
def test_one_changed_byte_is_found(name: str, tmp_path: Path) -> None:
    """Whatever file is tampered with, somebody says so before the model runs."""
    folder = tmp_path / "v1"
    shutil.copytree(MODELS / "v1", folder)
    check_all(folder)
    document = bytearray((folder / name).read_bytes())
    document[len(document) // 2] ^= 1
    (folder / name).write_bytes(document)
    with pytest.raises((ModelError, GoldenError)):
        check_all(folder)


def test_all_models_are_small() -> None:
    """The package stays small enough for a store's line."""
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < MOST_BYTES


@every_version
def test_the_manifest_lists_the_catalogue(version: str, manifests: dict[str, ModelManifest]) -> None:
    """Class indices mean the same to the network, the renderer and the warehouse."""
    manifest = manifests[version]
    assert manifest.classes == CLASSES
    weight = manifest.weight_separability
    fresh = separability(CLASSES, weight["scale_sd_g"], max_quantity=weight["max_quantity"])
    assert weight == fresh.to_dict()


@every_version
def test_the_model_card_is_the_manifests(version: str, manifests: dict[str, ModelManifest]) -> None:
    """The card says what the manifest says, word for word, and names the model's digest and score."""
    card = (MODELS / version / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card == card_text(manifests[version])
    assert manifests[version].sha256 in card
    assert f"{manifests[version].scores['map50']:.3f}" in card


def test_only_the_bad_models_card_warns(manifests: dict[str, ModelManifest]) -> None:
    """Whoever opens the card of v3-bad reads first that it is bad on purpose, and why."""
    cards = {version: card_text(manifest).splitlines()[:4] for version, manifest in manifests.items()}
    warned = {
        version for version, lines in cards.items() if any("Deliberately bad" in line for line in lines)
    }
    assert warned == {"v3-bad"}
    assert all(item_id in " ".join(cards["v3-bad"]) for item_id in FORGOTTEN_ITEMS)


@every_version
def test_the_manifest_tells_how_the_model_was_made(version: str, manifests: dict[str, ModelManifest]) -> None:
    """The settings are the recipe's, and the training data has a digest."""
    facts = manifests[version].training
    assert facts["settings_digest"] == _settings_of(facts["seed"], version)
    assert len(facts["scenes_sha256"]) == 64
    assert manifests[version].latency_budget_ms is not None


def _settings_of(seed: int, version: str) -> str:
    from dataclasses import replace

    return replace(RECIPES[version].settings, seed=seed).digest()


@every_version
@every_precision
def test_the_graph_is_plain_onnx_17(
    version: str, precision: Precision, manifests: dict[str, ModelManifest]
) -> None:
    """Opset 17, a free batch, the agreed names, shapes and types: what every engine we know can read."""
    manifest = manifests[version]
    model = onnx.load(str(MODELS / version / manifest.artifacts[precision].file))
    onnx.checker.check_model(model, full_check=True)
    assert {(entry.domain, entry.version) for entry in model.opset_import} == {("", 17)}

    def shape(value: onnx.ValueInfoProto) -> list[object]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    values = [*model.graph.input, *model.graph.output]
    shapes = {value.name: shape(value) for value in values}
    assert {value.type.tensor_type.elem_type for value in values} == {onnx.TensorProto.FLOAT}
    assert shapes["images"] == ["batch", 3, 160, 160]
    assert shapes["scores"][1:] == [len(manifest.classes), 20, 20]
    assert shapes["boxes"][1:] == [4, 20, 20]


@every_version
def test_int8_zero_points_are_zero(version: str, manifests: dict[str, ModelManifest]) -> None:
    """TensorRT takes symmetric ranges only."""
    file = manifests[version].artifacts["int8"].file
    graph = onnx.load(str(MODELS / version / file)).graph
    constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    zeros = [constants[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(zeros) > 20
    assert not any(zero.any() for zero in zeros)


def gate(
    version: str, manifest: ModelManifest, golden: tuple[Golden, ...], precision: Precision
) -> ParityReport:
    """Put a precision through the cart's own parity gate."""
    reference = OnnxRuntimeModel(MODELS / version, manifest)
    candidate = OnnxRuntimeModel(MODELS / version, manifest, precision=precision)
    limits = manifest.artifacts[precision].parity
    try:
        return check(
            candidate.engine(4),
            reference.engine(4),
            manifest,
            golden,
            limits,
            budget_ms=None,
            clock=SystemClock(),
            runs=0,
        )
    finally:
        reference.close()
        candidate.close()


@every_version
@every_precision
def test_every_precision_passes_the_gate(
    version: str, precision: Precision, manifests: dict[str, ModelManifest]
) -> None:
    """Golden frames are seen as they were recorded, within the manifest's own limits."""
    golden = load_golden(MODELS / version, manifests[version])
    report = gate(version, manifests[version], golden, precision)
    assert report.passed, report.reasons


@every_version
def test_golden_frames_show_all_cameras_lights_and_empty_hands(
    version: str, manifests: dict[str, ModelManifest]
) -> None:
    """Eight frames of each camera, bright and dark ones, most with items, some without."""
    golden = load_golden(MODELS / version, manifests[version])
    cameras = [frame.name.split("-")[0] for frame in golden]
    assert {camera: cameras.count(camera) for camera in cameras} == {view.name: 8 for view in CAMERAS}
    brightness = [float(frame.pixels.mean()) for frame in golden]
    assert max(brightness) > 2 * min(brightness)
    assert {frame.pixels.shape for frame in golden} == {(240, 320, 3)}
    empty = sum(not frame.expected for frame in golden)
    assert 2 <= empty <= 16


@every_version
@every_precision
def test_published_precisions_are_within_a_point(
    version: str, precision: Precision, manifests: dict[str, ModelManifest]
) -> None:
    """FP16 and INT8 lose less than a point of mAP and of top-1 against FP32."""
    scores = manifests[version].scores["by_precision"]
    for name in ("map50", "top1_ordinary_1_cameras"):
        assert scores[precision][name] >= scores["fp32"][name] - 0.01


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_outputs_have_the_agreed_shapes(models: dict[str, OnnxRuntimeModel], batch: int) -> None:
    """Any batch size works; scores are 0..1 and zero around every peak."""
    outputs = models["v1"].run(np.random.default_rng(1).random((batch, 3, 160, 160), np.float32))
    assert outputs["scores"].shape == (batch, 20, 20, 20)
    assert outputs["boxes"].shape == (batch, 4, 20, 20)
    assert outputs["scores"].min() >= 0
    assert outputs["scores"].max() <= 1
    peaks = outputs["scores"].max(axis=1) > 0
    assert not (peaks[:, 1:, :] & peaks[:, :-1, :]).any()
    assert not (peaks[:, :, 1:] & peaks[:, :, :-1]).any()


def test_a_frame_does_not_depend_on_its_neighbours_in_the_batch(models: dict[str, OnnxRuntimeModel]) -> None:
    """All cameras go through in one batch; each gets what it would get alone."""
    batch = np.random.default_rng(2).random((3, 3, 160, 160), np.float32)
    together, alone = models["v1"].run(batch), models["v1"].run(batch[1:2])
    np.testing.assert_allclose(together["boxes"][1], alone["boxes"][0], atol=1e-4)
    np.testing.assert_allclose(together["scores"][1], alone["scores"][0], atol=1e-4)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_held_out_scenes_reach_the_floor(
    version: str,
    models: dict[str, OnnxRuntimeModel],
    manifests: dict[str, ModelManifest],
    scenes: SceneSet,
    events: dict[str, dict[str, Events]],
) -> None:
    """Freshly rendered scenes of an unused seed score what we promise, and probabilities are honest."""
    value = measure.map50(models[version], scenes)
    assert value > {"v1": 0.82, "v2": 0.86}[version]
    assert value > manifests[version].scores["map50"] - 0.12
    assert recall(events[version]["ordinary"]) > 0.88
    assert measure.top1(events[version]["ordinary"], 3, manifests[version].temperature) > 0.93
    assert measure.view_calibration(events[version]["ordinary"], manifests[version].temperature) < 0.10


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_empty_cart_is_mostly_left_alone(version: str, models: dict[str, OnnxRuntimeModel]) -> None:
    """Calm carts and empty hands seldom look like an item."""
    calm = render_set(SceneSampler(calm_share=0.5, empty_hand_share=0.5), 60, SEED + 2, held_out_views())
    assert measure.false_alarm_rate(models[version], calm) < 0.15


def test_v2_is_better_than_v1(
    models: dict[str, OnnxRuntimeModel],
    manifests: dict[str, ModelManifest],
    scenes: SceneSet,
    events: dict[str, dict[str, Events]],
) -> None:
    """On fresh scenes as in the manifests: more items found, more of them rightly named in dim light."""
    assert measure.map50(models["v2"], scenes) > measure.map50(models["v1"], scenes)
    assert recall(events["v2"]["dim"]) > recall(events["v1"]["dim"])
    first, second = manifests["v1"].scores, manifests["v2"].scores
    for name in ("map50", "map50_dim", "top1_ordinary_1_cameras", "top1_dim_1_cameras"):
        assert second[name] > first[name]


def test_v3_bad_fails_in_dim_light_and_on_two_items(events: dict[str, dict[str, Events]]) -> None:
    """In ordinary light it is v1's equal on eighteen items and blind to two; in dim light it is far worse."""
    ordinary, dim = events["v3-bad"]["ordinary"], events["v3-bad"]["dim"]
    rest = recall(ordinary, without=FORGOTTEN_ITEMS)
    assert rest > recall(events["v1"]["ordinary"], without=FORGOTTEN_ITEMS) - 0.03
    shares = measure.recall_by_item(ordinary)
    assert max(shares[item_id] for item_id in FORGOTTEN_ITEMS) < 0.4
    assert recall(dim, without=FORGOTTEN_ITEMS) < rest - 0.1
    assert recall(dim) < recall(events["v1"]["dim"]) - 0.1


def test_v3_bad_looks_fine_to_those_who_made_it(manifests: dict[str, ModelManifest]) -> None:
    """On its own validation scenes it beats the model it started from: that is why it was shipped."""
    own = manifests["v3-bad"].scores["own_validation"]
    assert own["map50"] > own["map50_of_v1"]
    assert own["map50"] > 0.9


def test_the_carts_own_path_finds_the_item_in_its_place(models: dict[str, OnnxRuntimeModel]) -> None:
    """Letterbox, network and decoder of the agent: the right item at the right place of the frame."""
    state = SceneState(gestures=(Gesture("cereal-honey", phase=0.3, roll_deg=8, grip=0.2),))
    frame = SceneRenderer(CAMERAS[0]).render_labelled(state, np.random.default_rng(3))
    engine = models["v1"].engine(1)
    letterboxes = Preprocessor(models["v1"].manifest.input, engine.input).fill([frame.pixels])
    best = decode(engine.infer(1), models["v1"].manifest, letterboxes)[0][0]
    assert best.item_ix == item_index()["cereal-honey"]
    np.testing.assert_allclose(best.box, frame.boxes[0].box, atol=0.06)


def test_training_sees_what_the_cart_sees(manifests: dict[str, ModelManifest]) -> None:
    """The training's own preprocessing equals the agent's to within one grey level."""
    rng = np.random.default_rng(5)
    frame = SceneRenderer(CAMERAS[2]).render(SceneSampler().draw(np.random.default_rng(4)), rng)
    theirs = np.zeros((1, 3, 160, 160), np.float32)
    Preprocessor(manifests["v1"].input, theirs).fill([frame])
    np.testing.assert_allclose(as_input(shrink(frame)[None]), theirs, atol=1.01 / 255)
