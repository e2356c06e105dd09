"""The folder of a model, as training and `cartwright-agent model check` leave it.

Read here again and not through the cart's code: the cloud side does not import carts. What matters is small:
which files there are and what their sha256 is.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from fleet_control.errors import RegistryError
from fleet_control.registry.bounded import read_bounded

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
GOLDEN = "golden"
# As carts take them: of more than this a cart would refuse the model.
MAX_MANIFEST_BYTES = 4_000_000
MAX_SIGNATURE_BYTES = 4_096
MAX_FILES = 264
DIGEST_CHARACTERS = 16

Text = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Listed(Struct, frozen=True):
    """A file that the manifest lists."""

    file: FileName
    sha256: Sha256


class Manifest(Struct, frozen=True):
    """The part of `manifest.json` that a repository must know."""

    name: Text
    version: Text
    artifacts: dict[str, Listed]
    golden: tuple[Listed, ...] = ()

    @property
    def digest(self) -> str:
        """The model's name on the wire: the start of the sha256 of its FP32 file."""
        return self.artifacts["fp32"].sha256[:DIGEST_CHARACTERS]

    @property
    def files(self) -> dict[str, str]:
        """sha256 of each file that is listed, by its name in the folder."""
        golden = {f"{GOLDEN}/{frame.file}": frame.sha256 for frame in self.golden}
        return {artifact.file: artifact.sha256 for artifact in self.artifacts.values()} | golden


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: In the folder, with `/`.
        sha256: Of it.
        size_bytes: Of it.
    """

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model whose files are those of its manifest.

    Attributes:
        directory: Where it lies.
        manifest: What it says.
        sha256: Of `manifest.json`.
        files: All that is published.
        signed: Whether there is a `manifest.sig`; carts ask for one unless they are told otherwise.
    """

    directory: Path
    manifest: Manifest
    sha256: str
    files: tuple[ModelFile, ...]
    signed: bool


def parse_manifest(document: bytes, origin: str) -> Manifest:
    """Read a manifest.

    Raises:
        RegistryError: it is none, lists no FP32 file, or lists a name twice.
    """
    try:
        manifest = msgspec.json.decode(document, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"{origin}: {error}") from error
    if "fp32" not in manifest.artifacts:
        raise RegistryError(f"{origin}: artifacts has no fp32, which gives the model its name")
    listed = len(manifest.artifacts) + len(manifest.golden)
    if listed > MAX_FILES:
        raise RegistryError(f"{origin}: it lists {listed} files, and carts take {MAX_FILES}")
    if len(manifest.files) != listed or manifest.files.keys() & {MANIFEST, SIGNATURE}:
        raise RegistryError(f"{origin}: it lists a name twice, or one that no file of a model may have")
    return manifest


def read_model(directory: Path) -> ModelFolder:
    """Read a model and check every file against the manifest.

    Raises:
        RegistryError: a file is missing or not the manifest's.
    """
    document = read_bounded(directory / MANIFEST, MAX_MANIFEST_BYTES)
    manifest = parse_manifest(document, str(directory / MANIFEST))
    own = [_model_file(directory, MANIFEST)]
    signed = (directory / SIGNATURE).exists()
    if signed:
        read_bounded(directory / SIGNATURE, MAX_SIGNATURE_BYTES)
        own.append(_model_file(directory, SIGNATURE))
    files = [_model_file(directory, name) for name in manifest.files]
    for file in files:
        if file.sha256 != manifest.files[file.name]:
            raise RegistryError(f"{directory / file.name} is not the manifest's: its sha256 is {file.sha256}")
    sha256 = hashlib.sha256(document).hexdigest()
    return ModelFolder(directory, manifest, sha256, (*own, *files), signed)


def _model_file(directory: Path, name: str) -> ModelFile:
    path = directory / name
    try:
        if not path.is_file():
            raise RegistryError(f"{path} is missing, or is no file")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return ModelFile(name, digest, file.tell())
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error
