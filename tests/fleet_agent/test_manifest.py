"""Stories about the model's manifest."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleet_agent.errors import ManifestError
from fleet_agent.manifest import MAX_MANIFEST_BYTES, load_manifest, parse_manifest
from tests.fleet_agent.worlds import manifest


def document(change: Callable[[dict[str, Any]], None] = lambda _: None) -> bytes:
    """Return a manifest as a file, changed."""
    body: dict[str, Any] = msgspec.to_builtins(manifest())
    change(body)
    return msgspec.json.encode(body)


def test_a_manifest_reads_back_as_it_was() -> None:
    """What training writes is what a cart reads."""
    assert parse_manifest(document()) == manifest()
    assert manifest().digest == "abababababababab"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: m.update(schema=1), "schema"),
        (lambda m: m["artifacts"].clear(), "no fp32"),
        (lambda m: m["artifacts"]["fp32"].pop("sha256"), "sha256"),
        (lambda m: m["artifacts"]["fp32"].update(sha256="xyz"), "sha256"),
        (lambda m: m["artifacts"].update(fp8=m["artifacts"]["fp32"]), "artifacts"),
        (lambda m: m["artifacts"]["fp32"].update(file="../model.onnx"), r"artifacts\[\.\.\.\].file"),
        (lambda m: m["artifacts"]["fp32"].update(parity={"least_overlap": 2}), "least_overlap"),
        (lambda m: m.update(temperature=0), "temperature"),
        (lambda m: m.update(classes=[]), "classes"),
        (lambda m: m["classes"][0].update(weight_g=-1), r"classes\[0\].weight_g"),
        (lambda m: m["classes"][1].update(item_id="item-0"), "item-0.*two classes"),
        (lambda m: m["input"].update(layout="NHWC"), "layout"),
        (lambda m: m["input"].update(mean=[0, 0]), "mean"),
        (lambda m: m["decoder"].update(kind="ssd"), "kind"),
        (lambda m: m["decoder"].update(nms=1), "nms"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_field(
    change: Callable[[dict[str, Any]], None], why: str
) -> None:
    """Whoever brings a model reads which field is wrong."""
    with pytest.raises(ManifestError, match=why):
        parse_manifest(document(change))


def test_a_document_without_end_is_not_read() -> None:
    """What is larger than any manifest is refused before it is parsed."""
    with pytest.raises(ManifestError, match="more than a manifest may have"):
        parse_manifest(b" " * (MAX_MANIFEST_BYTES + 1))


def test_unknown_facts_at_the_top_do_not_stop_a_cart() -> None:
    """A later manifest with more facts still loads."""
    assert parse_manifest(document(lambda m: m.update(license="x"))).version == "t1"


def test_a_folder_without_manifest_is_named(tmp_path: Path) -> None:
    """The path that was looked at is in the error."""
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        load_manifest(tmp_path)


def test_a_manifest_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Nobody would ever write into it, and the cart would wait for ever."""
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(ManifestError, match="no regular file"):
        load_manifest(tmp_path)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A manifest of a terabyte of nothing is refused by a cart that has no terabyte of memory."""
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ManifestError, match="more than a manifest may have"):
        load_manifest(tmp_path)
