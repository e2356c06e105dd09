"""Stories about the models of the repository: each would go live on a cart, in each precision."""

from pathlib import Path

import pytest

from fleet_agent.activation.golden import load_golden
from fleet_agent.activation.observing import Observation, observe
from fleet_agent.activation.opening import SHIPPED_KEYS
from fleet_agent.activation.parity import check, judge
from fleet_agent.activation.signing import trusted_keys
from fleet_agent.activation.store import ModelStore, read_offer
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.manifest import Precision, load_manifest
from tests.fleet_agent.worlds import SteppedClock

SHIPPED = sorted(path.parent for path in (SHIPPED_KEYS.parent).glob("*/manifest.json"))
ARTIFACTS = [(folder, precision) for folder in SHIPPED for precision in load_manifest(folder).artifacts]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_model_is_signed_and_whole(folder: Path, tmp_path: Path) -> None:
    """A cart with the shipped keys takes it into its store."""
    store = ModelStore(tmp_path / "models", trusted_keys(SHIPPED_KEYS))
    kept = store.admit(read_offer(folder))
    assert kept.signed_by in trusted_keys(SHIPPED_KEYS)
    assert len(kept.manifest.golden) >= 16


@pytest.mark.parametrize(
    ("folder", "precision"), ARTIFACTS, ids=[f"{folder.name}-{precision}" for folder, precision in ARTIFACTS]
)
def test_a_shipped_artifact_passes_the_gate(folder: Path, precision: Precision) -> None:
    """Four cameras, the limits of its own manifest, and the recording of its training."""
    manifest, backend = load_manifest(folder), OnnxRuntimeBackend()
    engine = backend.open(folder, manifest, precision=precision, cameras=4)
    reference = backend.open(folder, manifest, precision="fp32", cameras=1)
    report = check(
        engine,
        reference,
        manifest,
        load_golden(folder, manifest),
        manifest.artifacts[precision].parity,
        budget_ms=None,
        clock=SteppedClock(),
        runs=0,
    )
    engine.close()
    reference.close()
    assert report.passed, str(report)
    assert report.to_reference.required >= 10


def _seen(network: Path, precision: Precision, folder: Path) -> Observation:
    """Run one model's artifact on the golden frames of another, decoded as the other's."""
    own, wanted = load_manifest(network), load_manifest(folder)
    engine = OnnxRuntimeBackend().open(network, own, precision=precision, cameras=4)
    try:
        return observe(engine, wanted, load_golden(folder, wanted), clock=SteppedClock(), runs=0)
    finally:
        engine.close()


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_no_shipped_network_passes_for_another(folder: Path) -> None:
    """A stale plan holds another model's network: whatever its precision, this model's gate finds it."""
    wanted = load_manifest(folder)
    seen = {(network, precision): _seen(network, precision, folder) for network, precision in ARTIFACTS}
    for precision, artifact in wanted.artifacts.items():
        same = None if precision == "fp32" else seen[folder, precision]
        for (network, of), found in seen.items():
            report = judge(
                wanted,
                load_golden(folder, wanted),
                seen[folder, "fp32"],
                found,
                artifact.parity,
                budget_ms=None,
                same=same,
            )
            assert report.reference_passed
            if (network, of) == (folder, precision):
                assert report.passed, str(report)
            # Half precision of the very same network is no other network.
            assert report.passed <= (network == folder), f"{network.name} {of} for {folder.name} {precision}"
