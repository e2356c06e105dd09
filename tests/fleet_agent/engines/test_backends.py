"""Stories about the choice of a runtime: what a cart asks for is what it gets, or an error."""

from pathlib import Path
from types import ModuleType

import pytest

from fleet_agent.config.model import ModelConfig
from fleet_agent.engines import backends
from fleet_agent.engines.backends import Backend, PlanRequest, choose_backend
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.engines.tensorrt.bindings import Bindings, load_bindings, wrap
from fleet_agent.errors import EngineError
from tests.fleet_agent.engines.graphs import center_model, noise


def refusing(why: str) -> Backend:
    """Stand for a runtime that cannot be used on this machine."""
    raise EngineError(why)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine one without TensorRT and GPU, whatever it has."""
    monkeypatch.setitem(backends.CANDIDATES, "tensorrt", lambda _: refusing("not installed"))
    monkeypatch.setitem(backends.CANDIDATES, "tensorrt_rtx", lambda _: refusing("no GPU"))


@pytest.mark.usefixtures("without_gpu")
def test_auto_takes_the_first_that_can_be_used_and_says_why_not_the_others() -> None:
    """A cart without a GPU runs ONNX Runtime, and its log tells the reasons."""
    choice = choose_backend(ModelConfig())
    assert choice.backend.name == "onnxruntime"
    assert choice.passed_over == {"tensorrt": "not installed", "tensorrt_rtx": "no GPU"}
    assert str(choice) == "onnxruntime; not tensorrt: not installed; not tensorrt_rtx: no GPU"


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_rtx"])
def test_a_named_backend_is_never_replaced_in_silence(name: str) -> None:
    """Whoever names TensorRT and has none is told."""
    with pytest.raises(EngineError, match=r"not installed|no GPU"):
        choose_backend(ModelConfig(backend=name))  # type: ignore[arg-type]


@pytest.mark.usefixtures("without_gpu")
def test_a_missing_provider_is_told_even_by_auto() -> None:
    """`auto` does not mean that the provider that was asked for is dropped."""
    absent = ModelConfig(provider="tensorrt")
    with pytest.raises(
        EngineError, match=r"tensorrt: not installed.*onnxruntime: .*TensorrtExecutionProvider"
    ):
        choose_backend(absent)


def tensorrt_of(version: str) -> ModuleType:
    """Stand for an installed release, of which only the version is looked at."""
    module = ModuleType("tensorrt")
    vars(module)["__version__"] = version
    return module


def test_a_module_that_is_not_installed_is_named() -> None:
    """The import's own words are in the reason."""
    with pytest.raises(EngineError, match="cannot be imported"):
        load_bindings("tensorrt_of_tomorrow")  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["10.0.1", "8.6.2.3", "10.2.0.19"])
def test_an_old_tensorrt_is_refused(version: str) -> None:
    """Before 10.3 calls are missing that we make; the reason names the oldest that works."""
    module = tensorrt_of(version)
    with pytest.raises(EngineError, match=f"{version} is too old; 10.3"):
        wrap("tensorrt", module)


@pytest.mark.parametrize(
    ("version", "flags"), [("10.3.0", 1 << 1), ("10.16.0.5", 1 << 1), ("11.0.0", 0), ("11.4.1.2", 0)]
)
def test_networks_are_strongly_typed_in_every_release(version: str, flags: int) -> None:
    """TensorRT 10 must be told; 11 knows nothing else, and asking for it is deprecated."""
    module = tensorrt_of(version)

    class NetworkDefinitionCreationFlag:
        """The flag of TensorRT 10."""

        STRONGLY_TYPED = 1

    vars(module)["NetworkDefinitionCreationFlag"] = NetworkDefinitionCreationFlag
    assert wrap("tensorrt", module).network_flags == flags


def test_chips_that_the_runtime_does_not_build_for_are_refused_plainly(rtx: Bindings) -> None:
    """A data centre's GPU is none of RTX's; the reason lists those that are."""
    assert "8.6" in rtx.compute_capabilities()
    with pytest.raises(
        EngineError, match=r"refuses chips of compute capability 9\.0; it builds for 7\.5, 8\.0"
    ):
        TensorRtBackend.building_only("9.0")


def test_a_plans_facts_name_all_that_it_depends_on(rtx: Bindings) -> None:
    """Versions down to the patch, CUDA, driver, L4T and the chip; clocks are only recorded."""
    facts = TensorRtBackend.building_only("8.6").facts()
    assert facts["version"] == rtx.version
    assert facts["compute_capability"] == "8.6"
    deciding = {name for name in facts if not name.startswith("recorded_")}
    assert deciding == {
        "runtime",
        "version",
        "cuda_runtime",
        "cuda_driver",
        "l4t",
        "gpu",
        "compute_capability",
        "multiprocessors",
    }
    assert len(rtx.version.split(".")) >= 3


@pytest.mark.usefixtures("rtx")
def test_a_backend_without_a_gpu_opens_no_engine(tmp_path: Path) -> None:
    """It builds plans, and says so when it is asked for more; nor is there an engine without a plan."""
    model = center_model(tmp_path)
    backend = TensorRtBackend.building_only("8.6")
    for plan, why in ((tmp_path / "a.plan", "without a GPU"), (None, "none was given")):
        with pytest.raises(EngineError, match=why):
            backend.open(tmp_path, model.manifest, precision="fp32", cameras=4, plan=plan)


def test_onnx_runtime_needs_no_plan_and_opens_from_the_artifact(tmp_path: Path) -> None:
    """The reference backend builds nothing; an engine that it opens owns its model."""
    model = center_model(tmp_path)
    backend: Backend = OnnxRuntimeBackend()
    request = PlanRequest(
        onnx=model.onnx(),
        sha256=model.sha256(),
        precision="fp32",
        input_name="images",
        shape=(4, 3, 32, 32),
        plan=tmp_path / "a.plan",
        workspace_mb=64,
        optimization_level=3,
    )
    assert backend.build_command(request) is None
    engine = backend.open(tmp_path, model.manifest, precision="int8", cameras=2, plan=None)
    engine.input[:] = noise(2)
    assert engine.infer(2)["scores"].shape == (2, 3, 8, 8)
    assert str(engine.info).startswith("onnxruntime ")
    assert engine.info.precision == "int8"
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(1)
    with pytest.raises(EngineError, match="runs no plans"):
        backend.open(tmp_path, model.manifest, precision="fp32", cameras=2, plan=request.plan)
