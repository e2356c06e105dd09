"""The models in the repository, artifact by artifact."""

from dataclasses import dataclass
from pathlib import Path

import fleet_agent
from fleet_agent.manifest import ModelManifest, Precision, load_manifest

MODELS = Path(fleet_agent.__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ShippedArtifact:
    """One ONNX file of one shipped model."""

    directory: Path
    manifest: ModelManifest
    precision: Precision

    def __str__(self) -> str:
        return f"{self.directory.name}-{self.precision}"


def _shipped() -> list[ShippedArtifact]:
    found = []
    for path in sorted(MODELS.glob("*/manifest.json")):
        manifest = load_manifest(path.parent)
        found += [ShippedArtifact(path.parent, manifest, precision) for precision in manifest.artifacts]
    return found


SHIPPED = _shipped()
