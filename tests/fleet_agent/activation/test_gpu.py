"""Stories of activation on the GPU that is present: with TensorRT's plans, and with ONNX Runtime."""

from pathlib import Path

import pytest

from fleet_agent.activation.opening import SHIPPED_KEYS
from fleet_agent.activation.signing import trusted_keys
from fleet_agent.config import ModelConfig
from fleet_agent.engines.contract import Backend
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.engines.onnxruntime_provider import Provider
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.engines.tensorrt.bindings import RuntimeName
from fleet_agent.errors import EngineError
from fleet_agent.manifest import Precision
from fleet_agent.ports import SystemClock
from tests.fleet_agent.activation.carts import SETTINGS, CartOnBench

V1 = SHIPPED_KEYS.parent / "v1"

pytestmark = pytest.mark.gpu


def cart_with(backend: Backend, folder: Path, precision: Precision) -> CartOnBench:
    """Return a cart of four cameras that runs the reference model."""
    return CartOnBench(
        folder / "cart",
        V1,
        backend=backend,
        settings=type(SETTINGS)(precision=precision, cameras=4),
        clock=SystemClock(),
        trusted=trusted_keys(SHIPPED_KEYS),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt_rtx"])
def test_a_shipped_model_goes_live_on_the_gpu_and_survives_its_plan(
    tmp_path: Path, runtime: RuntimeName, precision: Precision
) -> None:
    """Built, held to ONNX Runtime, booted from its plan; without the plan the processor stands in."""
    try:
        backend = TensorRtBackend.on_device(runtime, ModelConfig())
    except EngineError as error:  # not installed, or it refuses this chip
        pytest.skip(str(error))
    cart = cart_with(backend, tmp_path, precision)
    activated = cart.activator.activate(V1)
    activated.engine.close()
    assert activated.report.passed
    assert activated.slot.plan is not None
    assert activated.engine.info.plan == activated.slot.plan[:12]
    again = cart.again(trusted=trusted_keys(SHIPPED_KEYS))
    opened = again.activator.open_at_boot()
    opened.engine.close()
    assert (opened.source, opened.fallbacks, opened.pending) == ("current", (), None)
    plan = cart.folder / "plans" / activated.slot.plan / f"{activated.slot.plan}.plan"
    plan.write_bytes(plan.read_bytes()[:-1])
    again = again.again(trusted=trusted_keys(SHIPPED_KEYS))
    opened = again.activator.open_at_boot()
    assert (opened.engine.info.backend, opened.fallbacks[0].what) == ("onnxruntime", "plan")
    opened.engine.close()
    assert opened.pending is not None
    again.activator.activate(opened.pending).engine.close()
    again.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_shipped_model_passes_the_gate_with_onnx_runtime_on_the_gpu(
    tmp_path: Path, precision: Precision
) -> None:
    """No plan, the same gate: the GPU's answers on golden frames are held to the processor's."""
    try:
        backend = OnnxRuntimeBackend(provider=Provider(name="cuda"))
    except EngineError as error:
        pytest.skip(str(error))
    cart = cart_with(backend, tmp_path, precision)
    activated = cart.activator.activate(V1)
    activated.engine.close()
    assert activated.report.passed
    assert activated.engine.info.device == "cuda:0"
    cart.close()
