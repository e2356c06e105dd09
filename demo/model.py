"""Which model the simulated carts run now, and which one history says they ran before."""

import hashlib
from pathlib import Path

import fleet_agent
from demo.errors import MissingToolError
from fleet_agent.errors import ManifestError
from fleet_agent.manifest import DIGEST_CHARACTERS, ModelManifest, load_manifest

MODEL_DIR = Path(fleet_agent.__file__).parent / "models" / "v1"
# The model before the present one exists in history only; its digest is as good as any.
PREVIOUS_DIGEST = hashlib.sha256(b"cartwright-grocery v0, simulated history only").hexdigest()[
    :DIGEST_CHARACTERS
]


def present_manifest() -> ModelManifest:
    """Return the manifest of the model that live carts run.

    Raises:
        MissingToolError: it is not in this installation.
    """
    try:
        return load_manifest(MODEL_DIR)
    except ManifestError as error:
        raise MissingToolError(
            f"the carts' model ({MODEL_DIR})", f"install the package with its data files ({error})"
        ) from error
