"""What a plan depends on: the key of the cache.

A plan that was built for another GPU, driver, runtime, shape or set of weights loads and is wrong, or
does not load; so all of them are in the key. The key's JSON lies beside the plan for people.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fleet_agent.engines.contract import RECORDED
from fleet_agent.manifest import Precision

# Raise it when the meaning of a part of the key changes, or the way plans are built.
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanKey:
    """All that makes one plan another.

    Attributes:
        backend: Name of it.
        facts: Of machine and runtime: versions of runtime, CUDA, driver and L4T; name, compute capability
            and multiprocessors of the GPU.
        onnx_sha256: Of the ONNX file, which holds its weights.
        precision: Of that file.
        input_name: Of the network.
        shape: Of its input: cameras x 3 x height x width.
        optimization_level: Of the builder.
        workspace_mb: Of the builder.
        recorded: Facts that are only written down.
    """

    backend: str
    facts: Mapping[str, str | int]
    onnx_sha256: str
    precision: Precision
    input_name: str
    shape: tuple[int, int, int, int]
    optimization_level: int
    workspace_mb: int
    recorded: Mapping[str, str | int] = field(default_factory=dict, compare=False)

    @property
    def document(self) -> dict[str, Any]:
        """The key as JSON has it."""
        fields = asdict(self)
        del fields["recorded"]
        # No plan uses a plugin library or an accelerator beside the GPU; who builds one that does sets these.
        beside: dict[str, Any] = {"plugins": [], "dla_core": None}
        return {"schema": SCHEMA, **fields, "shape": list(self.shape), **beside}

    @property
    def canonical(self) -> bytes:
        """The one JSON form of the key."""
        return _canonical(self.document)

    @property
    def digest(self) -> str:
        """sha256 of the canonical form: the name of the plan."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def machine(self) -> str:
        """A short name of runtime and device: timings of kernels hold for these, whatever the model."""
        return hashlib.sha256(_canonical({"backend": self.backend, **self.facts})).hexdigest()[:16]


def split_facts(facts: Mapping[str, str | int]) -> tuple[dict[str, str | int], dict[str, str | int]]:
    """Part what makes another plan from what is only written down."""
    deciding = {name: value for name, value in facts.items() if not name.startswith(RECORDED)}
    recorded = {name: value for name, value in facts.items() if name.startswith(RECORDED)}
    return deciding, recorded


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
