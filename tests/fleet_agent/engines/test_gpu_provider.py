"""Stories of ONNX Runtime on a GPU, for carts whose TensorRT is missing or refuses the chip."""

import numpy as np
import pytest

from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.engines.onnxruntime_provider import Provider
from fleet_agent.errors import EngineError
from fleet_agent.manifest import Precision
from tests.fleet_agent.engines.shipped import SHIPPED, ShippedArtifact

pytestmark = pytest.mark.gpu

CUDA = Provider(name="cuda")
# FP32 runs in TF32, whose mantissa is that of FP16; INT8 in floating point, between the same 8-bit values.
FARTHEST: dict[Precision, float] = {"fp32": 0.02, "fp16": 0.02, "int8": 0.1}


@pytest.fixture(autouse=True)
def _provider() -> None:
    try:
        CUDA.check_present()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("artifact", SHIPPED, ids=str)
def test_a_shipped_model_sees_the_same_on_the_gpu(artifact: ShippedArtifact) -> None:
    """Its convolutions run there; what stays on the processor is told, and the answers agree."""
    batch = np.random.default_rng(1).random((4, 3, 160, 160), np.float32)
    seen = []
    for provider in (CUDA, Provider()):
        model = OnnxRuntimeModel(
            artifact.directory, artifact.manifest, precision=artifact.precision, provider=provider
        )
        engine = model.engine(4, owns_model=True)
        engine.input[:] = batch
        seen.append({name: array.copy() for name, array in engine.infer(4).items()})
        note = engine.info.note
        assert not note or (provider is CUDA and "on the processor" in note)
        engine.close()
    there, here = seen
    farthest = FARTHEST[artifact.precision]
    np.testing.assert_allclose(there["boxes"], here["boxes"], atol=farthest)
    # The network keeps the highest of neighbouring scores: which of two equal ones is a matter of rounding.
    np.testing.assert_allclose(there["scores"].max((2, 3)), here["scores"].max((2, 3)), atol=farthest)
