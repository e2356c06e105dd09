"""What stories about engines share."""

import os

import pytest

from fleet_agent.engines.tensorrt.bindings import Bindings, load_bindings
from fleet_agent.errors import EngineError


@pytest.fixture(scope="session")
def rtx() -> Bindings:
    """TensorRT for RTX, which builds plans without a GPU; under CI it must be there."""
    try:
        return load_bindings("tensorrt_rtx")
    except EngineError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{error}: pip install '.[tensorrt-rtx]'")
