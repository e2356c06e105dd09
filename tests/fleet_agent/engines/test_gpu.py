"""Stories that only a GPU can tell: a real plan, built for it and run on it."""

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fleet_agent.config.model import ModelConfig
from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.engines.tensorrt.bindings import RuntimeName
from fleet_agent.errors import EngineError, PlanLoadError
from fleet_agent.manifest import Precision
from fleet_agent.perception import PerceptionEngine, Tensor
from fleet_agent.plans.builder import build_plan
from fleet_agent.ports import SystemClock
from tests.fleet_agent.engines.graphs import PRECISIONS, Model, center_model, noise

pytestmark = pytest.mark.gpu

CAMERAS = 4
# FP32 runs in TF32 on recent chips, whose 10 bits of mantissa are those of FP16; INT8 has 8 bits.
FARTHEST: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.01, "int8": 0.03}


def usable(name: RuntimeName, *, cuda_graph: bool = True) -> TensorRtBackend:
    """Return a runtime on this GPU; skip with its own words where it refuses."""
    try:
        return TensorRtBackend.on_device(name, ModelConfig(cuda_graph=cuda_graph))
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    """Each runtime that this GPU has."""
    name: RuntimeName = request.param
    usable(name)
    return name


def build(model: Model, precision: Precision, runtime: RuntimeName) -> Path:
    """Build a plan in a child, as a cart does."""
    plan = model.directory / f"{precision}.plan"
    request = PlanRequest(
        onnx=model.onnx(precision),
        sha256=model.sha256(precision),
        precision=precision,
        input_name="images",
        shape=(CAMERAS, 3, 32, 32),
        plan=plan,
        workspace_mb=256,
        optimization_level=3,
        timing_cache=model.directory / "timings",
    )
    build_plan(usable(runtime), request, clock=SystemClock(), timeout_s=170.0)
    return plan


def opened(
    model: Model, precision: Precision, runtime: RuntimeName, plan: Path, *, cuda_graph: bool = True
) -> PerceptionEngine:
    """Open an engine on the GPU."""
    backend = usable(runtime, cuda_graph=cuda_graph)
    return backend.open(model.directory, model.manifest, precision=precision, cameras=CAMERAS, plan=plan)


def answers(engine: PerceptionEngine, pictures: Tensor) -> Mapping[str, Tensor]:
    """Run and keep what it answers."""
    engine.input[:] = pictures
    return {name: array.copy() for name, array in engine.infer(CAMERAS).items()}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_plan_sees_what_onnx_runtime_sees(
    tmp_path: Path, runtime: RuntimeName, precision: Precision
) -> None:
    """Every precision, frame after frame, with and without a CUDA graph."""
    model = center_model(tmp_path)
    reference = OnnxRuntimeModel(tmp_path, model.manifest, precision=precision)
    plan = build(model, precision, runtime)
    with_graph = opened(model, precision, runtime, plan)
    plain = opened(model, precision, runtime, plan, cuda_graph=False)
    for seed in range(5):
        pictures = noise(CAMERAS, seed)
        seen, again = answers(with_graph, pictures), answers(plain, pictures)
        for name, expected in reference.run(pictures).items():
            np.testing.assert_allclose(seen[name], expected, atol=FARTHEST[precision])
            np.testing.assert_array_equal(seen[name], again[name])
    assert with_graph.info.note == "", "the graph was refused"
    for engine in (with_graph, plain):
        engine.close()
        engine.close()


def test_a_plan_can_be_opened_and_closed_again_and_again(tmp_path: Path, runtime: RuntimeName) -> None:
    """Nothing stays behind on the GPU or in pinned memory."""
    model = center_model(tmp_path)
    plan = build(model, "fp16", runtime)
    first = None
    for _ in range(20):
        engine = opened(model, "fp16", runtime, plan)
        seen = answers(engine, noise(CAMERAS))
        engine.close()
        first = first or seen
        for name, array in seen.items():
            np.testing.assert_array_equal(array, first[name])


def test_an_engine_passes_from_thread_to_thread(tmp_path: Path, runtime: RuntimeName) -> None:
    """The activator's thread tries it, the vision's thread uses it."""
    model = center_model(tmp_path)
    engine = opened(model, "fp32", runtime, build(model, "fp32", runtime))
    here = answers(engine, noise(CAMERAS))
    there: list[Mapping[str, Tensor]] = []
    thread = threading.Thread(target=lambda: there.append(answers(engine, noise(CAMERAS))))
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(there[0]["scores"], here["scores"])
    engine.close()


def test_a_damaged_plan_is_a_typed_error(tmp_path: Path, runtime: RuntimeName) -> None:
    """Cut off in the middle: TensorRT refuses, and its words arrive."""
    model = center_model(tmp_path)
    plan = build(model, "fp32", runtime)
    plan.write_bytes(plan.read_bytes()[:-500])
    with pytest.raises(PlanLoadError) as caught:
        opened(model, "fp32", runtime, plan)
    assert caught.value.log


def test_a_plan_of_another_number_of_cameras_is_refused(tmp_path: Path, runtime: RuntimeName) -> None:
    """Four rows were built, three are asked for."""
    model = center_model(tmp_path)
    plan = build(model, "fp32", runtime)
    with pytest.raises(PlanLoadError, match=r"another shape|fixed batch"):
        usable(runtime).open(tmp_path, model.manifest, precision="fp32", cameras=3, plan=plan)


def test_a_chips_facts_are_complete(runtime: RuntimeName) -> None:
    """On a machine with a GPU no fact of the key is empty but the Jetson's release."""
    facts = usable(runtime).facts()
    empty = {name for name, value in facts.items() if not value and not name.startswith("recorded_")}
    assert empty <= {"l4t"}
