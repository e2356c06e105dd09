"""Plans of TensorRT for RTX, built for real through the cache: building needs no GPU."""

import hashlib
from pathlib import Path

import pytest

from fleet_agent.activation.trial import plan_key
from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.tensorrt.backend import TensorRtBackend
from fleet_agent.errors import PlanBuildError
from fleet_agent.plans.cache import PlanCache
from fleet_agent.plans.child import BuildProgress
from fleet_agent.ports import SystemClock
from tests.fleet_agent.activation.models import SIDE, network


@pytest.fixture(scope="module")
def backend() -> TensorRtBackend:
    """TensorRT for RTX that builds for an Ampere chip."""
    return TensorRtBackend.building_only("8.6")


@pytest.fixture
def counted() -> list[str]:
    """What the cache counted, in order."""
    return []


@pytest.fixture
def cache(tmp_path: Path, counted: list[str]) -> PlanCache:
    """An empty cache."""
    return PlanCache(
        tmp_path / "plans", capacity_bytes=100_000_000, clock=SystemClock(), on_count=counted.append
    )


def request_of(folder: Path, content: bytes) -> PlanRequest:
    """Return the request of a plan of an ONNX file."""
    (folder / "model.onnx").write_bytes(content)
    return PlanRequest(
        onnx=folder / "model.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        precision="fp32",
        input_name="images",
        shape=(4, 3, SIDE, SIDE),
        plan=folder / "unset.plan",
        workspace_mb=64,
        optimization_level=0,
    )


def test_a_real_plan_is_built_kept_and_found(
    tmp_path: Path, backend: TensorRtBackend, cache: PlanCache, counted: list[str]
) -> None:
    """Its key names the runtime in full and the chip; a truncated one is built anew."""
    request = request_of(tmp_path, network())
    key = plan_key(backend, request)
    assert key.facts["compute_capability"] == "8.6"
    assert str(key.facts["version"]).count(".") >= 2
    heard: list[BuildProgress] = []
    built = cache.build(backend, key, request, timeout_s=120.0, on_progress=heard.append)
    assert built.path.stat().st_size > 1000
    assert heard
    assert cache.find(key) is not None
    built.path.write_bytes(built.path.read_bytes()[:-1])
    assert cache.find(key) is None
    assert counted == ["plans_built", "plans_hit", "plans_truncated"]


def test_a_broken_onnx_file_is_named(
    tmp_path: Path, backend: TensorRtBackend, cache: PlanCache, counted: list[str]
) -> None:
    """Through child, builder and cache."""
    request = request_of(tmp_path, network()[:-300])
    with pytest.raises(PlanBuildError, match="cannot be parsed"):
        cache.build(backend, plan_key(backend, request), request, timeout_s=120.0)
    assert counted == ["plans_build_failed"]
    assert [path.name for path in (tmp_path / "plans").iterdir()] == ["lock"]
