"""The story of docs/bring_your_own_model.md, lived through: its commands, its manifest, its settings."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from fleet_agent.activation.signing import SIGNATURE_NAME, trusted_keys, verify_manifest
from fleet_agent.check import check
from fleet_agent.config import CartConfig, ModelConfig, parse_config
from fleet_agent.launch import SHIPPED_MODELS
from fleet_agent.manifest import YoloDecoder
from fleet_agent.ports import SystemClock
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


def filled_in(folder: Path) -> Path:
    """Return the page's manifest with the right digest in it."""
    together, check = blocks("sh")[:2]
    typed(together, folder)
    digest = re.search(r'"sha256": "([0-9a-f]{64})"', typed(check, folder).stdout)
    assert digest is not None
    path = folder / "my-model" / "manifest.json"
    path.write_text(path.read_text().replace(ZEROS, digest[1]))
    return path


def test_golden_frames_are_recorded_and_the_model_is_signed(folder: Path) -> None:
    """Pictures in a folder become what every engine is held to; all else in the manifest stays."""
    path = filled_in(folder)
    _, check, record, sign = blocks("sh")[:4]
    before = json.loads(path.read_bytes())
    assert "there are no pictures" in typed(record, folder).stderr
    picture = np.full((64, 96, 3), 128, np.uint8)
    picture[16:48, 32:64] = (20, 20, 240)
    golden = folder / "my-model" / "golden"
    golden.mkdir()
    cv2.imwrite(str(golden / "apple.png"), picture)
    cv2.imwrite(str(golden / "nothing.png"), np.full((64, 96, 3), 128, np.uint8))
    recorded = typed(record, folder)
    assert recorded.returncode == 0, recorded.stderr
    assert re.search(r"apple\.png: [1-9]", recorded.stdout)
    after = json.loads(path.read_bytes())
    frames = after.pop("golden")
    assert [frame["file"] for frame in frames] == ["apple.png", "nothing.png"]
    assert after == before
    assert re.search(r"golden: (\d+) of \1 recorded detections found", typed(check, folder).stdout)
    for command in sign.splitlines():
        assert typed(command, folder).returncode == 0
    keys = trusted_keys(folder / "my-keys")
    assert verify_manifest(folder / "my-model", keys) in keys


def test_a_picture_that_is_none_is_named(folder: Path) -> None:
    """A broken file among the golden frames is said by name, and the manifest stays as it was."""
    path = filled_in(folder)
    golden = folder / "my-model" / "golden"
    golden.mkdir()
    (golden / "broken.jpg").write_bytes(b"no picture")
    before = path.read_bytes()
    refused = typed(blocks("sh")[2], folder)
    assert (refused.returncode, path.read_bytes()) == (1, before)
    assert "broken.jpg" in refused.stderr


def test_the_settings_of_the_page_are_the_agents() -> None:
    """The table [model] is one that the agent reads."""
    config = parse_config(f'store = "s001"\ncart = "s001-c01"\n{blocks("toml")[0]}')
    assert config.model.directory == "my-model"
    assert config.model.require_signature is False


def test_the_page_names_every_setting_of_every_decoder() -> None:
    """A decoder's setting that nobody can find is one that nobody sets."""
    for name in YoloDecoder.__struct_fields__:
        assert f"`{name}`" in PAGE


def test_a_model_that_the_cart_would_refuse_fails_the_check_of_the_cart(tmp_path: Path) -> None:
    """Unsigned where signatures are asked for: said before the start, not by another model that serves."""
    model = tmp_path / "model"
    shutil.copytree(SHIPPED_MODELS / "v1", model)
    (model / SIGNATURE_NAME).unlink()
    for required in (True, False):
        settings = ModelConfig(directory=str(model), require_signature=required)
        cart = CartConfig(store="s1", cart="c1", model=settings)
        found = next(one for one in check(cart, SystemClock()) if one.part == "model")
        assert found.ok is not required
        assert ("model.trusted_keys" in found.remedy) is required
