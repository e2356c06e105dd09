"""Stories about weights that lie in another file: no digest covers them, so nobody reads them."""

import hashlib
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import helper

from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.engines.tensorrt.bindings import Bindings
from fleet_agent.engines.tensorrt.building import Building, build_plan
from fleet_agent.errors import EngineError, PlanBuildError
from fleet_agent.manifest import Artifact
from tests.fleet_agent.engines.graphs import SIZE, Model, center_model


def _move_out(tensor: onnx.TensorProto, folder: Path) -> None:
    (folder / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")


def hollow_model(folder: Path, elsewhere: Path, *, in_attribute: bool) -> Model:
    """Return a model one of whose tensors lies in `w.bin` of another folder."""
    model = center_model(folder)
    document = onnx.load(str(model.onnx()))
    tensor = document.graph.initializer[0]
    _move_out(tensor, elsewhere)
    if in_attribute:
        node = helper.make_node("Constant", [], [tensor.name], value=tensor)
        document.graph.node.insert(0, node)
        del document.graph.initializer[0]
    model.onnx().write_bytes(document.SerializeToString())
    sha256 = hashlib.sha256(model.onnx().read_bytes()).hexdigest()
    fitting = msgspec.structs.replace(
        model.manifest, artifacts={"fp32": Artifact(file=model.onnx().name, sha256=sha256)}
    )
    return Model(folder, fitting)


@pytest.mark.parametrize("in_attribute", [False, True], ids=["initializer", "attribute"])
def test_onnxruntime_reads_no_weights_from_the_folder_it_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_attribute: bool
) -> None:
    """The digest fits the file, the weights come from wherever the agent was started: refused."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    model = hollow_model(tmp_path / "model", tmp_path, in_attribute=in_attribute)
    with pytest.raises(EngineError, match=r"weights lie in other files.*w\.bin"):
        OnnxRuntimeModel(model.directory, model.manifest)


@pytest.mark.parametrize("in_attribute", [False, True], ids=["initializer", "attribute"])
def test_a_builder_reads_no_weights_from_the_folder_it_works_in(
    tmp_path: Path, rtx: Bindings, monkeypatch: pytest.MonkeyPatch, *, in_attribute: bool
) -> None:
    """TensorRT would: the file is refused before its parser sees it."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    model = hollow_model(tmp_path / "model", tmp_path, in_attribute=in_attribute)
    building = Building(
        onnx=model.onnx(),
        sha256=model.sha256(),
        input_name="images",
        shape=(4, 3, SIZE, SIZE),
        workspace_mb=64,
        optimization_level=3,
        compute_capability="8.6",
    )
    with pytest.raises(PlanBuildError, match=r"weights lie in other files.*w\.bin"):
        build_plan(rtx, building, lambda _: None)
