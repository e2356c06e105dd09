"""Stories about ONNX Runtime: a real one, on graphs built here and on the shipped models."""

import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest

from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.engines.onnxruntime_provider import Provider
from fleet_agent.errors import EngineBusyError, EngineError
from fleet_agent.manifest import Decoder, Precision
from tests.fleet_agent.engines.graphs import (
    CENTER,
    DETR,
    PRECISIONS,
    YOLO,
    Graph,
    Model,
    center_fp16_graph,
    center_graph,
    center_model,
    detr_graph,
    noise,
    write_model,
    yolo_graph,
)
from tests.fleet_agent.engines.shipped import SHIPPED, ShippedArtifact


def load(model: Model, precision: Precision = "fp32", **options: Any) -> OnnxRuntimeModel:
    """Load a model that a story has written."""
    return OnnxRuntimeModel(model.directory, model.manifest, precision=precision, **options)


def test_a_model_runs_with_any_number_of_cameras(tmp_path: Path) -> None:
    """One to four frames in one batch give as many answers, the same as alone."""
    engine = load(center_model(tmp_path)).engine(4)
    pictures = noise(4)
    engine.input[:] = pictures
    together = {name: array.copy() for name, array in engine.infer(4).items()}
    assert together["scores"].shape == (4, 3, 8, 8)
    for i in range(4):
        engine.input[0] = pictures[i]
        alone = engine.infer(1)["scores"]
        np.testing.assert_allclose(alone[0], together["scores"][i], atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_answers_alike(tmp_path: Path, precision: Precision) -> None:
    """FP16 and INT8 artifacts are run too, in float32 for whoever reads."""
    model = center_model(tmp_path)
    pictures = noise(2)
    reference = load(model).run(pictures)
    answers = load(model, precision).run(pictures)
    for name, array in answers.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, reference[name], atol=0.05)


def test_outputs_in_half_precision_are_widened(tmp_path: Path) -> None:
    """A model that answers in FP16 is read as float32."""
    model = write_model(tmp_path, {"fp32": center_fp16_graph(keep_output=False)})
    answers = load(model).engine(1).infer(1)
    assert {array.dtype.name for array in answers.values()} == {"float32"}


def test_one_loaded_model_serves_several_engines(tmp_path: Path) -> None:
    """Carts of a demo share the weights; each engine has an input of its own."""
    model = load(center_model(tmp_path))
    engines = [model.engine(2) for _ in range(3)]
    for ix, engine in enumerate(engines):
        engine.input[:] = noise(2, seed=ix)
    answers = [engine.infer(2)["scores"].copy() for engine in engines]
    for ix, scores in enumerate(answers):
        np.testing.assert_allclose(scores, model.run(noise(2, seed=ix))["scores"], atol=1e-6)
    engines[0].close()
    engines[0].close()
    assert engines[1].infer(1)
    model.close()
    with pytest.raises(EngineError, match="closed"):
        engines[1].infer(1)


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    """What is closed does not run, though its model still does."""
    model = load(center_model(tmp_path))
    engine = model.engine(1)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(1)
    assert model.run(noise(1))


def test_an_engine_that_owns_its_model_closes_it(tmp_path: Path) -> None:
    """Whoever wants one engine only gets the memory back with it."""
    model = load(center_model(tmp_path))
    model.engine(1, owns_model=True).close()
    with pytest.raises(EngineError, match="closed"):
        model.run(noise(1))


@pytest.mark.parametrize("frames", [0, 3])
def test_more_frames_than_cameras_are_refused(tmp_path: Path, frames: int) -> None:
    """Two rows hold one or two pictures."""
    engine = load(center_model(tmp_path)).engine(2)
    with pytest.raises(EngineError, match=f"{frames} frames do not fit an engine of 2 rows"):
        engine.infer(frames)


def test_a_second_thread_is_refused_while_the_first_is_in(tmp_path: Path) -> None:
    """Two threads in one engine would read each other's pictures."""
    model = load(center_model(tmp_path))
    engine = model.engine(1)
    inside, leave = threading.Event(), threading.Event()
    run = model.run

    def slow(batch: Any) -> Any:
        inside.set()
        assert leave.wait(20)
        return run(batch)

    model.run = slow  # type: ignore[method-assign]
    thread = threading.Thread(target=engine.infer, args=(1,), name="vision")
    thread.start()
    assert inside.wait(20)
    with pytest.raises(EngineBusyError, match="'vision'"):
        engine.infer(1)
    leave.set()
    thread.join(20)
    assert engine.infer(1), "an engine may pass from thread to thread"


def test_a_batch_fixed_to_the_number_of_cameras_works(tmp_path: Path) -> None:
    """People export with four rows for four cameras; then all rows are computed whatever they hold."""
    model = load(write_model(tmp_path, {"fp32": center_graph(batch=4)}))
    engine = model.engine(4)
    engine.input[:] = noise(4)
    assert engine.infer(2)["scores"].shape == (4, 3, 8, 8)


def test_a_batch_fixed_to_another_number_is_refused(tmp_path: Path) -> None:
    """The reason names both numbers and the remedy."""
    model = load(write_model(tmp_path, {"fp32": center_graph(batch=4)}))
    with pytest.raises(EngineError, match="fixed batch of 4, and there are 3 cameras; export it"):
        model.engine(3)


def test_a_model_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    """A swapped file is found by its digest."""
    model = center_model(tmp_path)
    center_graph(classes=2).write(model.onnx())
    with pytest.raises(EngineError, match="not the manifest's model"):
        load(model)


def test_a_precision_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """No other is taken instead."""
    with pytest.raises(EngineError, match="no int8 artifact"):
        load(write_model(tmp_path, {"fp32": center_graph()}), "int8")


@pytest.mark.parametrize(
    ("graph", "decoder", "why"),
    [
        (center_graph(classes=2), CENTER, "holds 2 classes, the manifest lists 3 classes"),
        (center_graph(boxes="rectangles"), CENTER, "no output 'boxes'; it has 'scores'"),
        (center_graph(), YOLO, "no output 'output0'"),
        (yolo_graph(classes=4), YOLO, "holds 4 classes, the manifest lists 3 classes"),
        (yolo_graph(channels_first=False), YOLO, "set the decoder's channels_first to false"),
        (detr_graph(logits=5), DETR, "holds 5 classes, the manifest lists 3 classes"),
        (
            detr_graph(logits=3),
            msgspec.structs.replace(DETR, background=True),
            "holds 2 classes, the manifest lists 3 classes",
        ),
    ],
)
def test_a_model_that_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, graph: Graph, decoder: Decoder, why: str
) -> None:
    """Classes and outputs of every decoder are checked before the first frame."""
    with pytest.raises(EngineError, match=why):
        load(write_model(tmp_path, {"fp32": graph}, decoder))


@pytest.mark.parametrize(
    ("graph", "decoder"),
    [
        (center_graph(), CENTER),
        (yolo_graph(), YOLO),
        (yolo_graph(channels_first=False), msgspec.structs.replace(YOLO, channels_first=False)),
        (yolo_graph(classes=4), msgspec.structs.replace(YOLO, objectness=True)),
        (detr_graph(), DETR),
        (detr_graph(logits=4), msgspec.structs.replace(DETR, background=True)),
    ],
)
def test_models_of_every_decoder_run(tmp_path: Path, graph: Graph, decoder: Decoder) -> None:
    """What people bring is taken as it is, with one row for each camera."""
    engine = load(write_model(tmp_path, {"fp32": graph}, decoder)).engine(3)
    assert {array.shape[0] for array in engine.infer(3).values()} == {3}


def test_an_input_of_another_size_is_refused(tmp_path: Path) -> None:
    """A manifest that promises another input size is found."""
    model = center_model(tmp_path)
    wider = msgspec.structs.replace(model.manifest.input, width=64, height=64)
    described = msgspec.structs.replace(model.manifest, input=wider)
    with pytest.raises(EngineError, match="N x 3 x 64 x 64"):
        OnnxRuntimeModel(tmp_path, described)


def test_an_input_of_another_name_is_refused(tmp_path: Path) -> None:
    """The reason shows what the model has."""
    model = center_model(tmp_path)
    renamed = msgspec.structs.replace(model.manifest.input, name="pixels")
    with pytest.raises(
        EngineError, match=r"'images' \(N x 3 x 32 x 32 float32\); the manifest says 'pixels'"
    ):
        OnnxRuntimeModel(tmp_path, msgspec.structs.replace(model.manifest, input=renamed))


def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """ONNX Runtime's words are in the error, or the system's."""
    model = center_model(tmp_path)
    garbage = b"\x08\x01broken"
    model.onnx().write_bytes(garbage)
    with pytest.raises(EngineError, match="sha256"):
        load(model)
    model.onnx().unlink()
    with pytest.raises(EngineError, match="No such file"):
        load(model)


def test_a_wrong_batch_is_an_error_of_ours(tmp_path: Path) -> None:
    """A tensor of the wrong shape does not crash the cart."""
    model = load(center_model(tmp_path))
    with pytest.raises(EngineError, match="ONNX Runtime"):
        model.run(np.zeros((1, 3, 16, 16), np.float32))


ABSENT = [
    name
    for name in ("cuda", "tensorrt")
    if Provider(name=name).wanted not in onnxruntime.get_available_providers()
]


@pytest.mark.parametrize("name", ABSENT)
def test_a_provider_that_is_absent_is_never_replaced_in_silence(tmp_path: Path, name: Any) -> None:
    """Whoever asks for the GPU and has none is told, with what there is."""
    with pytest.raises(EngineError, match=r"has no .*; it has .*CPUExecutionProvider"):
        load(center_model(tmp_path), provider=Provider(name=name))


def test_a_session_that_fell_back_is_refused() -> None:
    """ONNX Runtime takes the CPU where CUDA's libraries do not load; its own words give it away."""

    class FellBack:
        """A session that runs elsewhere than it was asked to."""

        def get_providers(self) -> list[str]:
            """Where it runs."""
            return ["CPUExecutionProvider"]

    with pytest.raises(EngineError, match="chose CPUExecutionProvider instead of CUDAExecutionProvider"):
        Provider(name="cuda").check_chosen(FellBack())


def test_a_cache_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file where the folder of ONNX Runtime's engines should be."""
    (tmp_path / "file").write_bytes(b"")
    provider = Provider(name="tensorrt", cache=tmp_path / "file")
    with pytest.raises(EngineError, match="Not a directory"):
        provider.arguments(sha256="ab" * 32, precision="fp32", input_name="images", image=(32, 32))


def test_engines_of_two_models_of_one_name_are_cached_apart(tmp_path: Path) -> None:
    """ONNX Runtime's TensorRT cache knows names, not weights: each digest has its own folder and prefix."""
    provider = Provider(name="tensorrt", cache=tmp_path)
    options = [
        provider.arguments(sha256=sha * 64, precision="fp16", input_name="images", image=(32, 32))[0][1]
        for sha in "ab"
    ]
    assert options[0]["trt_engine_cache_path"] != options[1]["trt_engine_cache_path"]
    assert options[0]["trt_engine_cache_prefix"] == "a" * 16
    assert options[0]["trt_profile_max_shapes"] == "images:4x3x32x32"
    assert (tmp_path / ("a" * 64)).is_dir()


@pytest.mark.parametrize("artifact", SHIPPED, ids=str)
def test_shipped_models_fit_their_manifests_and_run(artifact: ShippedArtifact) -> None:
    """Each artifact in the repository runs with four cameras and answers numbers."""
    engine = OnnxRuntimeModel(artifact.directory, artifact.manifest, precision=artifact.precision).engine(4)
    engine.input[:] = 0.5
    assert all(np.isfinite(array).all() for array in engine.infer(4).values())
