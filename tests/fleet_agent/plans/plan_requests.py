"""Keys and requests for stories about plans."""

import hashlib
from pathlib import Path

from fleet_agent.engines.contract import PlanRequest
from fleet_agent.plans.key import PlanKey


def request_of(folder: Path, content: bytes = b"network") -> PlanRequest:
    """Return the request of a plan of some bytes, which are written as the ONNX file."""
    digest = hashlib.sha256(content).hexdigest()
    onnx = folder / f"{digest[:8]}.onnx"
    onnx.write_bytes(content)
    return PlanRequest(
        onnx=onnx,
        sha256=digest,
        precision="fp32",
        input_name="images",
        shape=(2, 3, 32, 32),
        plan=folder / "new.plan",
        workspace_mb=64,
        optimization_level=1,
    )


def key_of(request: PlanRequest, **facts: str | int) -> PlanKey:
    """Return the key of a request."""
    return PlanKey(
        backend="copying",
        facts={"version": "1.0", **facts},
        onnx_sha256=request.sha256,
        precision=request.precision,
        input_name=request.input_name,
        shape=request.shape,
        optimization_level=request.optimization_level,
        workspace_mb=request.workspace_mb,
        recorded={"recorded_power_mode": "15W"},
    )
