"""A backend whose "plan" is a copy of the ONNX file, made by a real child process and run by ONNX Runtime.

So the whole way of a plan can be walked on a machine without a GPU. What the child does can be changed.
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fleet_agent.engines.contract import PlanRequest
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.errors import EngineError, PlanLoadError
from fleet_agent.manifest import Artifact, ModelManifest, Precision
from fleet_agent.perception import PerceptionEngine

# Copies in small pieces and says so, as a builder does; the plan gets its name at the end.
COPY = """
import json, os, sys
source, target = sys.argv[1:3]
with open(source, "rb") as file:
    content = file.read()
pieces = 4
size = -(-len(content) // pieces)
with open(target + ".part", "wb") as file:
    for step in range(pieces):
        print(json.dumps({"phase": "copying", "step": step, "of": pieces}), flush=True)
        file.write(content[step * size:(step + 1) * size])
    file.flush()
    os.fsync(file.fileno())
os.rename(target + ".part", target)
print(json.dumps({"built": len(content), "seconds": 0.5}), flush=True)
"""


class CopyingBackend:
    """Builds plans by copying.

    Args:
        script: Of the child; it is called with the ONNX file and the plan.
        facts: Of the machine.
    """

    def __init__(self, script: str = COPY, facts: Mapping[str, str | int] | None = None) -> None:
        self._script = script
        self._facts = {"runtime": "copying", "version": "1.0"} if facts is None else facts
        self._inner = OnnxRuntimeBackend()
        self.built = 0

    @property
    def name(self) -> str:
        """`copying`."""
        return "copying"

    def facts(self) -> Mapping[str, str | int]:
        """Return what the test says."""
        return self._facts

    def build_command(self, request: PlanRequest) -> list[str] | None:
        """Return the child that copies."""
        self.built += 1
        return [sys.executable, "-I", "-S", "-c", self._script, str(request.onnx), str(request.plan)]

    def open(
        self,
        directory: Path,
        manifest: ModelManifest,
        *,
        precision: Precision,
        cameras: int,
        plan: Path | None,
    ) -> PerceptionEngine:
        """Run the plan, whatever network it is: as TensorRT does, which knows no names of models."""
        if plan is None:
            raise EngineError(f"copying needs a plan for {directory}")
        sha256 = hashlib.sha256(plan.read_bytes()).hexdigest()
        artifacts: dict[Precision, Artifact] = {precision: Artifact(file=plan.name, sha256=sha256)}
        loose = msgspec.structs.replace(manifest, artifacts=artifacts)
        try:
            return self._inner.open(plan.parent, loose, precision=precision, cameras=cameras)
        except EngineError as error:
            raise PlanLoadError(str(error)) from error
