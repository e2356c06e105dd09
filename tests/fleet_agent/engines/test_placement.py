"""Stories about who runs which node, on sessions of ONNX Runtime whose nodes all are on the processor."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from fleet_agent.engines.onnxruntime_placement import RECORDING, Placement, placement_of
from fleet_agent.errors import EngineError
from tests.fleet_agent.engines.graphs import center_model


def session_of(model: Path) -> Any:
    """Open a network that remembers who got what."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*RECORDING)
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def test_a_network_that_runs_on_the_processor_is_not_taken_for_one_on_the_gpu(tmp_path: Path) -> None:
    """Its convolutions give it away, by name and number."""
    placement = placement_of(session_of(center_model(tmp_path).onnx()))
    assert placement.nodes == sum(count for _, count in placement.on_cpu) > 0
    with pytest.raises(EngineError, match=r"CUDAExecutionProvider does not run all .* Conv"):
        placement.check("CUDAExecutionProvider")


def test_sums_over_shapes_may_stay_on_the_processor_and_are_told() -> None:
    """Nearly every exported network has some; the GPU would be slower at them."""
    placement = Placement(70, (("Cast", 2), ("Gather", 3), ("Shape", 1), ("Unsqueeze", 1), ("Range", 1)))
    placement.check("CUDAExecutionProvider")
    assert placement.note == "8 of 70 nodes on the processor: 3 Gather, 2 Cast, 1 Range, 1 Shape, 1 others"


def test_a_network_that_is_whole_on_the_gpu_needs_no_note() -> None:
    """Nothing strayed, nothing is said."""
    placement = Placement(70, ())
    placement.check("CUDAExecutionProvider")
    assert placement.note == ""
