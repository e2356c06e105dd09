"""Stories about building plans, for real: TensorRT for RTX parses, builds and serialises without a GPU."""

import hashlib
from pathlib import Path

import pytest

from fleet_agent.engines.tensorrt.bindings import Bindings
from fleet_agent.engines.tensorrt.building import Building, build_plan
from fleet_agent.engines.tensorrt.plan import LoadedPlan
from fleet_agent.engines.tensorrt.progress import ProgressFilter, Step
from fleet_agent.errors import PlanBuildError, PlanLoadError
from fleet_agent.manifest import Precision
from tests.fleet_agent.engines.graphs import (
    PRECISIONS,
    Graph,
    Model,
    center_graph,
    center_int8_graph,
    center_model,
    detr_graph,
    write_model,
    yolo_graph,
)
from tests.fleet_agent.engines.shipped import SHIPPED, ShippedArtifact

# GeForce RTX 30: any chip that the runtime builds for would do.
CHIP = "8.6"
# With which TensorRT begins every plan.
MAGIC = b"vtrt"
GARBAGE = b"\x08\x01broken"


def building(model: Model, precision: Precision = "fp32", *, cameras: int = 4, **changes: object) -> Building:
    """Return what builds a model's plan."""
    given: dict[str, object] = {
        "onnx": model.onnx(precision),
        "sha256": model.sha256(precision),
        "input_name": "images",
        "shape": (cameras, 3, 32, 32),
        "workspace_mb": 64,
        "optimization_level": 3,
        "compute_capability": CHIP,
    }
    return Building(**(given | changes))  # type: ignore[arg-type]


def silent(step: Step) -> None:
    """Take no notice of progress."""


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_plan_is_built_of_every_precision(tmp_path: Path, rtx: Bindings, precision: Precision) -> None:
    """FP32, FP16 and symmetric INT8 artifacts parse, build and serialise with no flag for precision."""
    plan = build_plan(rtx, building(center_model(tmp_path), precision), silent)
    assert plan[:4] == MAGIC


def test_precisions_are_the_files_own(tmp_path: Path, rtx: Bindings) -> None:
    """Three artifacts of one network give three different plans: the types of the file have arrived."""
    model = center_model(tmp_path)
    assert len({build_plan(rtx, building(model, precision), silent) for precision in PRECISIONS}) == 3


@pytest.mark.parametrize("artifact", SHIPPED, ids=str)
def test_every_shipped_artifact_builds(rtx: Bindings, artifact: ShippedArtifact) -> None:
    """What is in the repository can be built on a cart."""
    spec = artifact.manifest.input
    described = artifact.manifest.artifacts[artifact.precision]
    plan = build_plan(
        rtx,
        Building(
            onnx=artifact.directory / described.file,
            sha256=described.sha256,
            input_name=spec.name,
            shape=(4, 3, spec.height, spec.width),
            workspace_mb=512,
            optimization_level=3,
            compute_capability=CHIP,
        ),
        silent,
    )
    assert plan[:4] == MAGIC


@pytest.mark.parametrize("graph", [yolo_graph(), detr_graph(), center_graph(batch=4)])
def test_other_layouts_build_too(tmp_path: Path, rtx: Bindings, graph: Graph) -> None:
    """YOLO's and DETR's outputs, and a batch that is fixed to the number of cameras."""
    assert build_plan(rtx, building(write_model(tmp_path, {"fp32": graph})), silent)


def test_a_batch_fixed_to_another_number_is_refused(tmp_path: Path, rtx: Bindings) -> None:
    """Two rows do not hold four cameras."""
    model = write_model(tmp_path, {"fp32": center_graph(batch=2)})
    with pytest.raises(PlanBuildError, match=r"wants \(2, 3, 32, 32\), and \(4, 3, 32, 32\) was asked for"):
        build_plan(rtx, building(model), silent)


def test_a_broken_file_is_refused_before_the_parser_sees_it(tmp_path: Path, rtx: Bindings) -> None:
    """Bytes that are no ONNX: a typed error that says so."""
    model = center_model(tmp_path)
    model.onnx().write_bytes(GARBAGE)
    with pytest.raises(PlanBuildError, match="not the artifact of sha256"):
        build_plan(rtx, building(model), silent)
    with pytest.raises(PlanBuildError, match=r"model\.onnx cannot be parsed: no ONNX file") as caught:
        build_plan(rtx, building(model, sha256=hashlib.sha256(GARBAGE).hexdigest()), silent)
    assert caught.value.cause == "failed"


def test_an_operator_that_the_runtime_lacks_is_named(tmp_path: Path, rtx: Bindings) -> None:
    """People bring operators of their own; the parser says which one it does not know."""
    graph = center_graph()
    graph.nodes[-1].op_type, graph.nodes[-1].domain = "Frobnicate", "com.example"
    model = center_model(tmp_path)
    sha256 = graph.write(model.onnx(), checked=False)
    with pytest.raises(PlanBuildError, match="Frobnicate"):
        build_plan(rtx, building(model, sha256=sha256), silent)


def test_asymmetric_int8_is_refused_by_the_runtime(tmp_path: Path, rtx: Bindings) -> None:
    """TensorRT takes symmetric Q/DQ only; what a quantiser's defaults write is an error, not a wrong plan."""
    model = center_model(tmp_path)
    path = tmp_path / "model.int8.onnx"
    sha256 = center_int8_graph(zero_point=3).write(path)
    with pytest.raises(PlanBuildError) as caught:
        build_plan(rtx, building(model, "int8", sha256=sha256), silent)
    assert "zero" in " ".join((str(caught.value), *caught.value.log)).lower()


def test_a_missing_file_and_a_wrong_input_are_named(tmp_path: Path, rtx: Bindings) -> None:
    """What does not fit is said before anything is built."""
    model = center_model(tmp_path)
    with pytest.raises(PlanBuildError, match="No such file"):
        build_plan(rtx, building(model, onnx=tmp_path / "nothing.onnx"), silent)
    with pytest.raises(PlanBuildError, match=r"inputs are \['images'\], not 'pixels'"):
        build_plan(rtx, building(model, input_name="pixels"), silent)
    with pytest.raises(PlanBuildError, match=r"refuses chips of compute capability 1\.0"):
        build_plan(rtx, building(model, compute_capability="1.0"), silent)


def test_progress_begins_and_ends(tmp_path: Path, rtx: Bindings) -> None:
    """The whole build is a phase with steps; each phase that begins also ends."""
    steps: list[Step] = []
    build_plan(rtx, building(center_model(tmp_path)), steps.append)
    begun = {step.phase for step in steps if step.step == 0}
    ended = {step.phase for step in steps if step.step == step.of}
    assert begun == ended
    assert steps[0].step == 0
    assert steps[0].of > 1
    assert steps[-1] == Step(steps[0].phase, steps[0].of, steps[0].of)


def test_a_build_that_nobody_waits_for_ends_early(tmp_path: Path, rtx: Bindings) -> None:
    """The agent is gone and with it the pipe: no minutes of work for nobody, and no abort in C++."""

    def unheard(_: Step) -> None:
        raise BrokenPipeError

    with pytest.raises(PlanBuildError, match="no plan was built"):
        build_plan(rtx, building(center_model(tmp_path)), unheard)


def test_a_flood_of_steps_is_a_trickle() -> None:
    """Thousands of steps a second are told some times a second; beginning and end always."""
    now_s = [0.0]
    told: list[Step] = []
    progress = ProgressFilter(told.append, lambda: now_s[0])
    progress.start("timing", 1000)
    for ix in range(1000):
        now_s[0] += 0.001
        progress.step("timing", ix)
    progress.finish("timing")
    assert told[0] == Step("timing", 0, 1000)
    assert told[-1] == Step("timing", 1000, 1000)
    assert 4 <= len(told) <= 8
    assert [step.step for step in told] == sorted(step.step for step in told)


def test_a_plan_that_cannot_be_used_gives_the_runtimes_words(tmp_path: Path, rtx: Bindings) -> None:
    """Garbage and a missing file are typed errors; TensorRT itself only returns None."""
    garbage = tmp_path / "garbage.plan"
    garbage.write_bytes(b"garbage" * 100)
    with pytest.raises(PlanLoadError, match=r"garbage\.plan: refused") as caught:
        LoadedPlan(garbage, rtx)
    assert any("erialization" in line for line in caught.value.log)
    with pytest.raises(PlanLoadError, match="No such file"):
        LoadedPlan(tmp_path / "nothing.plan", rtx)


def test_a_plan_of_absurd_size_is_not_even_read(tmp_path: Path, rtx: Bindings) -> None:
    """A file of three gigabytes is no plan of a cart."""
    huge = tmp_path / "huge.plan"
    with huge.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(PlanLoadError, match="more than a plan may have"):
        LoadedPlan(huge, rtx)
