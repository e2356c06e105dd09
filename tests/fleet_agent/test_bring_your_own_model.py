"""The story of docs/bring_your_own_model.md, lived through: its commands, its manifest, its settings."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest

from fleet_agent.config import parse_config
from fleet_agent.manifest import YoloDecoder, parse_manifest
from tests.fleet_agent.graphs import Graph, save_yolo

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bring_your_own_model.md").read_text(encoding="utf-8")
YOLO = YoloDecoder(score_threshold=0.3, max_detections=50)
ZEROS = "0" * 64


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the page in a folder."""
    argv = shlex.split(command)
    program = [sys.executable, "-m", "fleet_agent.cli"] if argv[0] == "cartwright-agent" else [sys.executable]
    return subprocess.run(
        [*program, *argv[1:]],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the page's reader has it: an export whose weights lie apart, and the page's manifest."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "my-model").mkdir()
    save_yolo(tmp_path / "whole.onnx", Graph(96, 64), YOLO, classes=2)
    onnx.save_model(
        onnx.load(str(tmp_path / "whole.onnx")),
        str(tmp_path / "exported" / "model.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    (tmp_path / "my-model" / "manifest.json").write_text(blocks("json")[0], encoding="utf-8")
    return tmp_path


def test_the_page_leads_to_a_model_that_runs(folder: Path) -> None:
    """One file, a manifest with zeros, the digest that the check prints, and all is well."""
    together, check = blocks("sh")[:2]
    assert typed(together, folder).returncode == 0
    first = typed(check, folder)
    assert first.returncode == 0, first.stdout
    digest = re.search(r'"sha256": "([0-9a-f]{64})"', first.stdout)
    assert digest is not None
    path = folder / "my-model" / "manifest.json"
    path.write_text(path.read_text().replace(ZEROS, digest[1]))
    second = typed(check, folder)
    assert second.returncode == 0
    for line in blocks("text")[0].splitlines():
        assert line in second.stdout
    assert "FAIL" not in second.stdout
    # Something else in its place is found.
    typed(together, folder)
    (folder / "my-model" / "model.onnx").write_bytes(b"\x08")
    assert typed(check, folder).returncode == 1


def test_the_golden_frame_of_the_page_is_accepted(folder: Path) -> None:
    """A picture of a red thing, described as the page describes one."""
    typed(blocks("sh")[0], folder)
    picture = np.full((64, 96, 3), 128, np.uint8)
    picture[16:48, 32:64] = (20, 20, 240)
    golden = folder / "my-model" / "golden"
    golden.mkdir()
    cv2.imwrite(str(golden / "apple.png"), picture)
    manifest = msgspec.json.decode(blocks("json")[0].encode())
    manifest |= msgspec.json.decode(blocks("json")[1].encode())
    manifest["golden"][0]["sha256"] = ZEROS
    parse_manifest(msgspec.json.encode(manifest))
    path = folder / "my-model" / "manifest.json"
    path.write_bytes(msgspec.json.encode(manifest))
    refused = typed(blocks("sh")[1], folder)
    assert refused.returncode == 1
    digest = re.search(r"FAIL golden: .*its sha256 is ([0-9a-f]{64})", refused.stdout)
    assert digest is not None
    manifest["golden"][0]["sha256"] = digest[1]
    path.write_bytes(msgspec.json.encode(manifest))
    assert re.search(r"golden: \d of 1 recorded detections found", typed(blocks("sh")[1], folder).stdout)


def test_the_settings_of_the_page_are_the_agents() -> None:
    """The table [model] is one that the agent reads."""
    config = parse_config(f'store = "s001"\ncart = "s001-c01"\n{blocks("toml")[0]}')
    assert config.model.directory == "my-model"
    assert config.model.require_signature is False


def test_the_page_names_every_setting_of_every_decoder() -> None:
    """A decoder's setting that nobody can find is one that nobody sets."""
    for name in YoloDecoder.__struct_fields__:
        assert f"`{name}`" in PAGE
