"""Stories about networks that people bring: whether they will work, and what to change."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from fleet_agent.cli import main
from fleet_agent.engines.onnx_file import read_outline
from fleet_agent.errors import EngineError
from fleet_agent.launch import SHIPPED_MODELS
from fleet_agent.manifest import CenterDecoder, Decoder, DetrDecoder, ModelManifest, YoloDecoder
from fleet_agent.model_check import Finding, check_model
from tests.fleet_agent.graphs import Graph, save, save_yolo
from tests.fleet_agent.test_decoding_onnx import DECODERS
from tests.fleet_agent.worlds import manifest

SIZE = (96, 64)
PLAIN_YOLO = YoloDecoder(score_threshold=0.3, max_detections=50)


def write(folder: Path, described: ModelManifest) -> Path:
    """Write a manifest; returns its path."""
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.encode(described))
    return path


def look(folder: Path, described: ModelManifest, file: str = "model.onnx") -> dict[str, Finding]:
    """Check a network of a folder; returns the findings by part, the worst of each."""
    rank = {"OK": 0, "WARN": 1, "FAIL": 2}
    found: dict[str, Finding] = {}
    for finding in check_model(folder / file, write(folder, described)):
        if rank[finding.verdict] >= rank.get(
            found[finding.part].verdict if finding.part in found else "OK", 0
        ):
            found[finding.part] = finding
        assert (finding.remedy == "") == (finding.verdict == "OK"), finding
    return found


def failed(found: dict[str, Finding]) -> list[str]:
    """Return the parts that failed."""
    return [part for part, finding in found.items() if finding.verdict == "FAIL"]


@pytest.mark.parametrize("path", sorted(SHIPPED_MODELS.glob("*/manifest.json")), ids=lambda p: p.parent.name)
def test_shipped_networks_are_fine(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line says OK to each network in the repository, golden frames included.

    The one that is bad on purpose may see things in the dark: that is a warning.
    """
    assert main(["model", "check", str(path.parent / "model.onnx"), "--manifest", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "FAIL" not in printed
    bad = path.parent.name.endswith("bad")
    assert set(re.findall("WARN ([a-z]+)", printed)) <= ({"time", "empty"} if bad else {"time"})
    assert re.search(r"OK   golden: (\d+) of \1 recorded detections found", printed)


@pytest.mark.parametrize("kind", DECODERS)
def test_every_layout_that_is_decoded_passes(tmp_path: Path, kind: str) -> None:
    """A network and a manifest that fit each other: nothing fails, and the guess is the manifest's."""
    described = save(tmp_path / "model.onnx", Graph(*SIZE), DECODERS[kind])
    found = look(tmp_path, described)
    assert failed(found) == []
    assert {part for part, finding in found.items() if finding.verdict == "WARN"} <= {"golden", "time"}
    assert str(len(described.classes)) in found["decoder"].detail


@pytest.mark.parametrize("kind", DECODERS)
def test_what_is_suggested_for_a_wrong_manifest_is_right(tmp_path: Path, kind: str) -> None:
    """Somebody starts from a manifest of another kind, writes what the check says, and passes."""
    described = save(tmp_path / "model.onnx", Graph(*SIZE), DECODERS[kind])
    other: Decoder = PLAIN_YOLO if isinstance(described.decoder, CenterDecoder) else manifest().decoder
    found = look(tmp_path, msgspec.structs.replace(described, decoder=other))
    assert failed(found) == ["decoder"]
    suggested = re.search(r'set "decoder": (\{.*?\})', found["decoder"].remedy)
    assert suggested is not None
    decoder = msgspec.json.decode(suggested[1].encode(), type=Decoder)
    assert failed(look(tmp_path, msgspec.structs.replace(described, decoder=decoder))) == []


def test_another_number_of_classes_is_said_in_one_sentence(tmp_path: Path) -> None:
    """The most frequent mistake: the network of eighty classes that everybody downloads."""
    sha256 = save_yolo(tmp_path / "model.onnx", Graph(*SIZE), PLAIN_YOLO, classes=80)
    described = msgspec.structs.replace(manifest(width=96, height=64, sha256=sha256), decoder=PLAIN_YOLO)
    found = look(tmp_path, described)
    assert failed(found) == ["decoder"]
    assert (
        "output 'output0' is 1 x 84 x 96: that is YOLO channels_first with 80 classes;"
        " your manifest lists 3" in found["decoder"].detail
    )
    assert "list the 80 classes" in found["decoder"].remedy


def test_a_transposed_output_is_recognised(tmp_path: Path) -> None:
    """The manifest has the axes the other way round: the setting is named."""
    described = save(tmp_path / "model.onnx", Graph(*SIZE), PLAIN_YOLO)
    wrong = msgspec.structs.replace(PLAIN_YOLO, channels_first=False)
    found = look(tmp_path, msgspec.structs.replace(described, decoder=wrong))
    assert failed(found) == ["decoder"]
    assert '"channels_first":true' in found["decoder"].remedy or (
        "set the decoder's channels_first to true" in found["decoder"].detail
    )


@pytest.mark.parametrize(
    ("setting", "real", "part", "remedy"),
    [
        ("activated", True, "scores", "activated to true"),
        ("activated", False, "scores", "activated to false"),
        ("normalised", True, "boxes", "normalised to true"),
        ("normalised", False, "boxes", "normalised to false"),
    ],
)
def test_ranges_tell_what_the_shapes_do_not(
    tmp_path: Path, setting: str, real: object, part: str, remedy: str
) -> None:
    """Logits taken for shares, pixels for fractions, and the other way round."""
    right = msgspec.structs.replace(PLAIN_YOLO, **{setting: real})
    described = save(tmp_path / "model.onnx", Graph(*SIZE), right)
    wrong = msgspec.structs.replace(right, **{setting: not real})
    finding = look(tmp_path, msgspec.structs.replace(described, decoder=wrong))[part]
    assert finding.verdict != "OK"
    assert remedy in finding.remedy


def test_another_file_is_a_warning_with_the_digest_to_write(tmp_path: Path) -> None:
    """Nobody can know the digest before the first check: it is printed, ready for the manifest."""
    described = save(tmp_path / "mine.onnx", Graph(*SIZE), PLAIN_YOLO)
    blank = msgspec.structs.replace(described, artifacts=manifest(sha256="0" * 64).artifacts)
    found = look(tmp_path, blank, "mine.onnx")
    assert failed(found) == []
    assert found["sha256"].verdict == "WARN"
    assert f'{{"file": "mine.onnx", "sha256": "{described.sha256}"}}' in found["sha256"].remedy


def described_as(**changes: Any) -> ModelManifest:
    """Return a manifest of the usual network whose input is told otherwise."""
    described = manifest(width=96, height=64)
    spec = msgspec.structs.replace(described.input, **changes)
    return msgspec.structs.replace(described, decoder=PLAIN_YOLO, input=spec)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"name": "x"}, "set input.name to 'images'"),
        ({"width": 128}, "set input.width to 96"),
        ({"height": 32}, "set input.height to 64"),
    ],
)
def test_an_input_that_is_told_wrong_is_corrected(
    tmp_path: Path, changes: dict[str, Any], remedy: str
) -> None:
    """The settings are named, and the rest is looked at as if they were right."""
    save(tmp_path / "model.onnx", Graph(*SIZE), PLAIN_YOLO)
    found = look(tmp_path, described_as(**changes))
    assert failed(found) == ["input"]
    assert remedy in found["input"].remedy
    assert found["decoder"].verdict == "OK"


def test_a_fixed_batch_is_for_so_many_cameras(tmp_path: Path) -> None:
    """It runs, on carts of exactly that many cameras."""
    described = save(tmp_path / "model.onnx", Graph(*SIZE, batch=2), PLAIN_YOLO)
    found = look(tmp_path, described)
    assert failed(found) == []
    assert "exactly 2 cameras" in found["batch"].detail


def one_node(
    folder: Path,
    kind: str,
    shapes: tuple[list[Any], list[Any]],
    *,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    domain: str = "",
    **attributes: Any,
) -> None:
    """Write a network of one operator, from `images` to `output0`."""
    node = helper.make_node(kind, ["images"], ["output0"], domain=domain, **attributes)
    result = TensorProto.INT64 if kind == "NonZero" else dtype
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("images", dtype, shapes[0])],
        [helper.make_tensor_value_info("output0", result, shapes[1])],
    )
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


USUAL = ["n", 3, 64, 96]


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        (["n", 64, 96, 3], TensorProto.FLOAT, "colours last"),
        (["n", 1, 64, 96], TensorProto.FLOAT, "1 channels, not 3"),
        ([3, 64, 96], TensorProto.FLOAT, "3 dimensions"),
        (USUAL, TensorProto.FLOAT16, "not float32"),
        (USUAL, TensorProto.DOUBLE, "not float32"),
    ],
)
def test_inputs_that_no_manifest_can_describe(
    tmp_path: Path, shape: list[Any], dtype: int, words: str
) -> None:
    """Colours last, grey pictures, no batch, another type: each by its name."""
    one_node(tmp_path, "Identity", (shape, shape), dtype=dtype)
    found = look(tmp_path, described_as())
    assert failed(found) == ["input"]
    assert words in found["input"].detail


def test_an_output_that_is_nothing_we_know(tmp_path: Path) -> None:
    """A network that puts its picture out again is no detector."""
    one_node(tmp_path, "Identity", (USUAL, USUAL))
    found = look(tmp_path, described_as())
    assert failed(found) == ["decoder"]
    assert "docs/bring_your_own_model.md" in found["decoder"].remedy


def test_sizes_that_depend_on_the_picture_are_found(tmp_path: Path) -> None:
    """NonZero puts out as many places as there are: noise and black show it."""
    one_node(tmp_path, "NonZero", (USUAL, [4, "k"]))
    found = look(tmp_path, described_as())
    assert "runs" in failed(found)
    assert "depends on the picture" in found["runs"].detail
    assert found["operators"].verdict == "WARN"


def test_suppression_inside_of_the_network_is_named(tmp_path: Path) -> None:
    """Boxes that are already chosen have no fixed number: export without it."""
    graph = Graph(*SIZE)
    scores = graph.flat(graph.scores(3), 3, "logits")
    boxes = graph.add("Transpose", [graph.flat(graph.boxes((1.0, 1.0), "c"), 4, "b")], "t", perm=[0, 2, 1])
    most = graph.constant("most", [5], np.int64)
    graph.add("NonMaxSuppression", [boxes, scores, most], "output0")
    info = helper.make_tensor_value_info("output0", TensorProto.INT64, ["k", 3])
    nodes = helper.make_graph(
        graph.nodes,
        "nms",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, USUAL)],
        [info],
        [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    model = helper.make_model(nodes, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    found = look(tmp_path, described_as())
    assert "operators" in failed(found)
    assert "NonMaxSuppression" in found["operators"].detail
    assert "without NMS" in found["operators"].remedy


def test_weights_beside_the_file_are_refused(tmp_path: Path) -> None:
    """What the manifest's digest does not cover does not run on a cart."""
    save(tmp_path / "whole.onnx", Graph(*SIZE), PLAIN_YOLO)
    onnx.save_model(
        onnx.load(str(tmp_path / "whole.onnx")),
        str(tmp_path / "model.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    found = look(tmp_path, described_as())
    assert failed(found) == ["weights"]
    assert "weights.bin" in found["weights"].detail
    assert "save_as_external_data=False" in found["weights"].remedy
    (tmp_path / "weights.bin").unlink()
    assert failed(look(tmp_path, described_as())) == ["weights", "runtime"]


def test_newer_opsets_and_other_operators_are_a_warning(tmp_path: Path) -> None:
    """They run here; the GPU of a cart may not know them."""
    one_node(tmp_path, "Identity", (USUAL, USUAL), opset=21)
    assert look(tmp_path, described_as())["opset"].verdict == "WARN"
    one_node(tmp_path, "Gelu", (USUAL, USUAL), domain="com.microsoft")
    assert "com.microsoft" in look(tmp_path, described_as())["operators"].detail
    one_node(tmp_path, "Mystery", (USUAL, USUAL), domain="my.plugins")
    found = look(tmp_path, described_as())
    assert failed(found) == ["runtime"]
    assert "my.plugins" in found["runtime"].remedy


def test_cameras_that_influence_each_other_are_found(tmp_path: Path) -> None:
    """A normalisation over the batch that was left in training mode."""
    graph = Graph(*SIZE)
    graph.add("ReduceMean", ["images"], "mean", axes=[0], keepdims=1)
    graph.add("Sub", ["images", "mean"], "mixed")
    graph.scores(3)
    graph.nodes[2].input[0] = "mixed"
    graph.add("Sigmoid", ["cell_logits"], "scores")
    graph.boxes((1.0, 1.0), "boxes")
    sha256 = graph.save(tmp_path / "model.onnx", {"scores": ["n", 3, 8, 12], "boxes": ["n", 4, 8, 12]})
    found = look(tmp_path, manifest(width=96, height=64, sha256=sha256))
    assert failed(found) == ["cameras"]
    assert "scores" in found["cameras"].detail


def test_numbers_that_are_none_are_found(tmp_path: Path) -> None:
    """A network that half precision broke."""
    graph = Graph(*SIZE)
    graph.scores(3)
    graph.constants["bias"][1] = np.nan
    graph.add("Sigmoid", ["cell_logits"], "scores")
    graph.boxes((1.0, 1.0), "boxes")
    sha256 = graph.save(tmp_path / "model.onnx", {"scores": ["n", 3, 8, 12], "boxes": ["n", 4, 8, 12]})
    assert "values" in failed(look(tmp_path, manifest(width=96, height=64, sha256=sha256)))


def test_a_network_that_sees_things_in_grey_is_a_warning(tmp_path: Path) -> None:
    """Most often the normalisation of the manifest is not the network's."""
    described = save(tmp_path / "model.onnx", Graph(*SIZE), PLAIN_YOLO)
    spec = msgspec.structs.replace(PLAIN_YOLO, score_threshold=0.0)
    finding = look(tmp_path, msgspec.structs.replace(described, decoder=spec))["empty"]
    assert finding.verdict == "WARN"
    assert "input.scale" in finding.remedy


def test_without_a_manifest_the_layout_is_still_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who is about to write one gets the decoder to write into it."""
    save(tmp_path / "model.onnx", Graph(*SIZE), DetrDecoder(score_threshold=0.3, max_detections=5))
    (tmp_path / "manifest.json").write_text('{"schema": 2}')
    assert main(["model", "check", str(tmp_path / "model.onnx"), "--manifest", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAIL manifest: " in printed
    assert '"decoder": {"kind":"detr"' in printed
    assert main(["model", "check", str(tmp_path / "none.onnx"), "--manifest", str(tmp_path)]) == 1
    assert "No such file" in capsys.readouterr().out


def test_golden_frames_of_another_network_are_found(tmp_path: Path) -> None:
    """A manifest whose golden frames are missing, and one without any."""
    described = save(tmp_path / "model.onnx", Graph(*SIZE), PLAIN_YOLO)
    assert look(tmp_path, described)["golden"].verdict == "WARN"
    shipped = msgspec.json.decode((SHIPPED_MODELS / "v1" / "manifest.json").read_bytes(), type=ModelManifest)
    one = msgspec.structs.replace(shipped.golden[0], expected=())
    found = look(tmp_path, msgspec.structs.replace(described, golden=(one,)))
    assert failed(found) == ["golden"]
    assert one.file in found["golden"].detail


def whole_file() -> bytes:
    """Return the bytes of a shipped network."""
    return (SHIPPED_MODELS / "v1" / "model.onnx").read_bytes()


def test_the_outline_is_what_the_onnx_library_reads() -> None:
    """Opset, version, producer and operators, without the library."""
    model = onnx.load(str(SHIPPED_MODELS / "v1" / "model.onnx"))
    outline = read_outline(whole_file())
    assert outline.ir_version == model.ir_version
    assert outline.producer == f"{model.producer_name} {model.producer_version}".strip()
    assert outline.opsets == {entry.domain: entry.version for entry in model.opset_import}
    assert outline.operators == Counter((node.domain, node.op_type) for node in model.graph.node)
    assert outline.external == ()


@given(cut=st.integers(0, 4000), at=st.integers(0, 3999), byte=st.integers(0, 255))
def test_damaged_files_are_an_error_of_ours(cut: int, at: int, byte: int) -> None:
    """Cut off anywhere, changed anywhere: an outline or our error, nothing else, and at once."""
    document = bytearray(_small())
    document[at % len(document)] = byte
    for damaged in (bytes(document[: cut % (len(document) + 1)]), bytes(document)):
        try:
            read_outline(damaged)
        except EngineError:
            continue


def _small() -> bytes:
    graph = Graph(*SIZE)
    graph.scores(3)
    inner = helper.make_graph(graph.nodes, "small", [], [])
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_graphs_in_graphs_end_somewhere() -> None:
    """A file that nests graphs without end does not exhaust the stack; one that nests them twice is read."""
    inner = helper.make_graph([helper.make_node("NonZero", ["x"], ["y"])], "inner", [], [])
    for depth, fine in ((2, True), (20, False)):
        graph = inner
        for _ in range(depth):
            node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=inner)
            graph = helper.make_graph([node], "outer", [], [])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        document = model.SerializeToString()
        if fine:
            assert read_outline(document).operators["", "NonZero"] == depth + 1
        else:
            with pytest.raises(EngineError, match="too deep"):
                read_outline(document)
